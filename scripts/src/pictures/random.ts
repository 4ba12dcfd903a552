/** Seeded pseudo-random numbers: the same seed draws the same pictures on every machine. */
export interface Random {
  /** Uniform in [from, to). */
  between(from: number, to: number): number;
  /** Uniform integer in [from, to], both included. */
  integer(from: number, to: number): number;
  /** Normal distribution, mean 0, standard deviation 1. */
  normal(): number;
}

/** Mulberry32, 32 bits of state. Source: github.com/bryc/code, PRNGs. */
export function createRandom(seed: number): Random {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  const between = (from: number, to: number) => from + (to - from) * next();
  return {
    between,
    integer: (from, to) => Math.floor(between(from, to + 1)),
    normal: () => Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next()),
  };
}
