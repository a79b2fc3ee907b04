// How deep JSON nests, before anything parses it.

/**
 * Whether arrays and objects nest deeper than that in a JSON text; of a text that is no JSON, whether its brackets do.
 */
export function nestsDeeperThan(text: string, levels: number): boolean {
  let depth = 0;
  let isText = false;
  for (let at = 0; at < text.length; at += 1) {
    const char = text[at];
    if (char === '"') isText = !isText;
    else if (isText) at += char === '\\' ? 1 : 0;
    else if (char === '[' || char === '{') depth += 1;
    else if (char === ']' || char === '}') depth -= 1;
    if (depth > levels) return true;
  }
  return false;
}
