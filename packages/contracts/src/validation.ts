import type { z } from 'zod';
import type { FieldError } from './errors.js';

/**
 * Turns zod's issues into field errors that say what was received and what is allowed.
 *
 * @param input the value that was parsed; received values are looked up in it by path.
 */
export function describeIssues(error: z.ZodError, input: unknown): FieldError[] {
  return error.issues.flatMap((issue) => describeIssue(issue, input, []));
}

function describeIssue(issue: z.core.$ZodIssue, input: unknown, parent: PropertyKey[]): FieldError[] {
  const path = [...parent, ...issue.path];
  const at = (keys: PropertyKey[], message: string, allowed?: unknown): FieldError => {
    const received = valueAt(input, keys);
    return {
      field: keys.map(String).join('.') || '(body)',
      message,
      ...(received !== undefined && {
        received: typeof received === 'string' ? hideCredentials(received) : received,
      }),
      ...(allowed !== undefined && { allowed }),
    };
  };
  switch (issue.code) {
    case 'unrecognized_keys':
      return issue.keys.map((key) => at([...path, key], 'Unknown field'));
    case 'invalid_value':
      return [at(path, issue.message, issue.values)];
    case 'invalid_union': {
      const branches = issue.errors.filter((branch) => branch.length > 0);
      // Of a union's branches the one that got furthest into the input is the one the client meant.
      const depth = (branch: z.core.$ZodIssue[]) => Math.max(...branch.map((inner) => inner.path.length));
      const best = branches.toSorted((a, b) => depth(b) - depth(a))[0];
      if (best && depth(best) > 0) return best.flatMap((inner) => describeIssue(inner, input, path));
      const options = branches.flatMap((branch) => branch.map((inner) => inner.message));
      return [at(path, options.length > 0 ? [...new Set(options)].join('; or: ') : issue.message)];
    }
    default:
      return [at(path, issue.message)];
  }
}

/** A text without the user name and password of a URL in it. */
export function hideCredentials(text: string): string {
  return text.replace(/\/\/[^/@]*@/, '//***@');
}

function valueAt(input: unknown, path: PropertyKey[]): unknown {
  let value = input;
  for (const key of path) {
    if (typeof value !== 'object' || value === null) return undefined;
    value = (value as Record<PropertyKey, unknown>)[key];
  }
  return value;
}
