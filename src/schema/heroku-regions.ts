// Heroku's names of regions → AWS regions. Heroku sends `amazon-web-services::us-east-1`; apps and manifests say `us` or `virginia`.

const NAMES: Readonly<Record<string, string>> = {
  us: 'us-east-1',
  virginia: 'us-east-1',
  oregon: 'us-west-2',
  eu: 'eu-west-1',
  dublin: 'eu-west-1',
  london: 'eu-west-2',
  frankfurt: 'eu-central-1',
  tokyo: 'ap-northeast-1',
  sydney: 'ap-southeast-2',
  singapore: 'ap-southeast-1',
  mumbai: 'ap-south-1',
  montreal: 'ca-central-1',
};

/** The AWS region of a Heroku region in either spelling; undefined for one that is neither known nor an AWS region. */
export function awsRegionOf(herokuRegion: string): string | undefined {
  const name = herokuRegion.replace(/^amazon-web-services::/, '');
  if (Object.hasOwn(NAMES, name)) return NAMES[name];
  return /^[a-z]{2}(-[a-z]+)+-\d$/.test(name) ? name : undefined;
}
