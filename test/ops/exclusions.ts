/** A test of tfjs-core's own suite that is not run on an engine. */
export interface Exclusion {
  /** Engine that leaves the test out. */
  engine: string;
  /** The test's full name, or how it begins: everything that begins so is left out. */
  name: string;
  reason: string;
}

/**
 * Everything of tfjs-core's suite that is left out, with its reason; an entry that no test answers to fails the run.
 *
 * No engine leaves out anything. The suite itself has two tests ("Switching cpu backends") for the backend called "cpu"
 * alone: 4227 pass there, and 4225 on any other.
 */
export const EXCLUSIONS: readonly Exclusion[] = [];
