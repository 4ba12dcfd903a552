/** A URI for messages and logs: a web address's query is left out, as it may hold a signature. */
export function printableUri(uri: string): string {
  return /^https?:/i.test(uri) ? uri.replace(/[?#].*$/s, '') : uri;
}
