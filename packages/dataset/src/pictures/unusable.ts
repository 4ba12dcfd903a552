/** A file that is no picture this service trains on; the message is the reason, for the report. */
export class UnusablePicture extends Error {
  override name = 'UnusablePicture';
}
