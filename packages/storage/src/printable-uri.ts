/** A URI for messages and logs: an https query is left out, as it may hold a signature. */
export function printableUri(uri: string): string {
  return uri.startsWith('https:') ? uri.replace(/[?#].*$/s, '') : uri;
}
