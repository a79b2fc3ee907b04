#!/usr/bin/env bash
# Makes the base images of docker/Dockerfile and compose.yaml under their usual names (node:24-bookworm-slim,
# redis:7-bookworm), for a machine that reaches package registries but no container registry: Debian's packages by
# debootstrap, the Node binary and npm from the npm registry. Where a container registry is reached, `docker pull` is the way.
# Needs root, docker and debootstrap. Does nothing for an image that was pulled, or made by this very script: what is in it says which.
set -euo pipefail

suite=bookworm
mirror=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
node_version=24.21.0
npm_version=11.21.2

# a made image carries what made it; a pulled one has no such label
recipe=$(cksum <"$0" | tr ' ' -)
have() {
  local made
  made=$(docker image inspect --format '{{index .Config.Labels "autofiles.recipe"}}' "$1" 2>/dev/null) || return 1
  [ -z "$made" ] || [ "$made" = "$recipe" ]
}
have node:24-bookworm-slim && have redis:7-bookworm && exit 0
echo "docker/base-images.sh: making the base images from packages …" >&2

work=$(mktemp -d /var/tmp/af-base-images.XXXXXX)
trap 'rm -rf "$work"' EXIT

# minbase is what debian:bookworm-slim is made of
debootstrap --variant=minbase --include=ca-certificates "$suite" "$work/root" "$mirror" >"$work/log" 2>&1 ||
  { tail -20 "$work/log" >&2; exit 1; }
rm -rf "$work"/root/var/cache/apt/archives/*.deb "$work"/root/var/lib/apt/lists/* "$work"/root/usr/share/{doc,man,locale}/*
# what this machine trusts, in case its registries are behind a proxy with a certificate of its own
cp /etc/ssl/certs/ca-certificates.crt "$work/root/etc/ssl/certs/ca-certificates.crt"

if ! have redis:7-bookworm; then
  cp -a "$work/root" "$work/redis"
  cp /etc/resolv.conf "$work/redis/etc/resolv.conf"
  chroot "$work/redis" sh -c 'groupadd --system --gid 999 redis && useradd --system --uid 999 --gid redis redis &&
    apt-get update -qq && RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends redis-server redis-tools &&
    rm -rf /var/lib/apt/lists/* /var/cache/apt/archives/*.deb && mkdir -p /data && chown redis:redis /data' >"$work/log" 2>&1 ||
    { tail -20 "$work/log" >&2; exit 1; }
  rm -f "$work/redis/etc/resolv.conf"
  tar -C "$work/redis" -c . | docker import --change "LABEL autofiles.recipe=$recipe" --change 'WORKDIR /data' --change 'USER redis' --change 'EXPOSE 6379' \
    --change 'CMD ["redis-server"]' - redis:7-bookworm >/dev/null
  rm -rf "$work/redis"
fi

if ! have node:24-bookworm-slim; then
  mkdir "$work/npm"
  npm pack --silent --pack-destination "$work/npm" "npm@$npm_version" >/dev/null
  case $(uname -m) in x86_64) arch=x64 ;; aarch64) arch=arm64 ;; *) echo "no Node binary for $(uname -m)" >&2; exit 1 ;; esac
  npm pack --silent --pack-destination "$work/npm" "node-linux-$arch@$node_version" >/dev/null
  mkdir -p "$work/unpacked/npm" "$work/unpacked/node" "$work/root/usr/local/lib/node_modules"
  tar -C "$work/unpacked/npm" -xzf "$work"/npm/npm-*.tgz
  tar -C "$work/unpacked/node" -xzf "$work"/npm/node-*.tgz
  install -m 0755 "$work/unpacked/node/package/bin/node" "$work/root/usr/local/bin/node"
  mv "$work/unpacked/npm/package" "$work/root/usr/local/lib/node_modules/npm"
  ln -s ../lib/node_modules/npm/bin/npm-cli.js "$work/root/usr/local/bin/npm"
  ln -s ../lib/node_modules/npm/bin/npx-cli.js "$work/root/usr/local/bin/npx"
  chmod 0755 "$work/root/usr/local/lib/node_modules/npm/bin/"*.js
  chroot "$work/root" sh -c 'groupadd --gid 1000 node && useradd --uid 1000 --gid node --shell /bin/bash --create-home node && node --version >/dev/null'
  tar -C "$work/root" -c . | docker import --change "LABEL autofiles.recipe=$recipe" --change 'ENV NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt' \
    --change 'CMD ["node"]' - node:24-bookworm-slim >/dev/null
fi
docker image ls --format '{{.Repository}}:{{.Tag}} {{.Size}}' | grep -E '^(node:24-bookworm-slim|redis:7-bookworm) '
