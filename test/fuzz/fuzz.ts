/** Fuzz tests: samples that are right, damaged at random from a seed; what refutes an invariant is said with the seed that makes it again. */
import { test } from 'node:test'
import { Random } from '../support/property.ts'

/** How often each invariant is tried, if somebody wants it otherwise; and from which seed on. */
const RUNS = process.env.OCIREGISTRY_FUZZ_RUNS
const FIRST_SEED = Number(process.env.OCIREGISTRY_FUZZ_SEED ?? 1)

export type Fuzz = {
  /** Each of them is right. */
  readonly samples: readonly string[]
  /** Pieces that matter to the parser: they come in anywhere. */
  readonly words: readonly string[]
  /** How often, in `npm test`: so that it takes a second at most. */
  readonly runs: number
}

/** Registers a test. @param check throws for what must not be */
export function fuzz(
  sentence: string,
  { samples, words, runs }: Fuzz,
  check: (input: string, random: Random) => void | Promise<void>,
): void {
  const count = RUNS === undefined ? runs : Number(RUNS)
  test(`${sentence}, whatever comes (${count} inputs)`, { timeout: RUNS === undefined ? 60_000 : 2 ** 31 - 1 }, async () => {
    for (let seed = FIRST_SEED; seed < FIRST_SEED + count; seed++) {
      const random = new Random(seed)
      const input = damaged(random, samples, words)
      try {
        await check(input, random)
      } catch (cause) {
        const again = `OCIREGISTRY_FUZZ_RUNS=1 OCIREGISTRY_FUZZ_SEED=${seed}`
        throw new Error(`${again} refutes it with ${JSON.stringify(input).slice(0, 2000)}: ${(cause as Error).message}`, { cause })
      }
    }
  })
}

/** A sample after none to six accidents. */
function damaged(random: Random, samples: readonly string[], words: readonly string[]): string {
  let text = random.pick(samples)
  for (let accidents = random.below(7); accidents > 0; accidents--) text = random.pick(ACCIDENTS)(text, random, samples, words)
  return text
}

type Accident = (text: string, random: Random, samples: readonly string[], words: readonly string[]) => string

/** What people, networks and attackers do to text. */
const ACCIDENTS: readonly Accident[] = [
  (text, random) => text.slice(0, random.below(text.length + 1)),
  (text, random) => replaced(text, random, ''),
  (text, random, _, words) => replaced(text, random, random.pick(words)),
  (text, random, _, words) => inserted(text, random, random.pick(words)),
  (text, random) => inserted(text, random, String.fromCharCode(random.below(256))),
  (text, random) => inserted(text, random, random.pick(STRANGE)),
  (text, random) => inserted(text, random, part(text, random)),
  (text, random, samples) => inserted(text, random, part(random.pick(samples), random)),
  (text, random) => inserted(text, random, random.pick([...text, ' ']).repeat(random.pick([2, 10, 300, 5000]))),
  (text, random) => text.replace(/\d+/, () => random.pick(NUMBERS)),
  (text, random, samples) => text.slice(0, random.below(text.length + 1)) + random.pick(samples),
]

const NUMBERS = ['0', '-1', '1e9', '007', '4294967296', '9007199254740993', '99999999999999999999999', '0x10', 'NaN', '']
const STRANGE = [
  '\0',
  '\n',
  '\r\n',
  '\t',
  '\x7f',
  '\xff',
  '\u2028',
  '\u202e',
  '\ufeff',
  '\ud800',
  '😀',
  '%',
  '%00',
  '%2e%2e',
  '../',
  '"',
  "'",
  '\\',
  '__proto__',
]

function part(text: string, random: Random): string {
  const start = random.below(text.length + 1)
  return text.slice(start, start + random.below(40))
}

function inserted(text: string, random: Random, more: string): string {
  const at = random.below(text.length + 1)
  return text.slice(0, at) + more + text.slice(at)
}

function replaced(text: string, random: Random, by: string): string {
  const at = random.below(text.length + 1)
  return text.slice(0, at) + by + text.slice(at + random.below(12))
}

/** Other messages, which quote what came, are made printable where they are shown. */
const ONE_LINE: ReadonlySet<string> = new Set(['ConfigError', 'Error'])

/** What is thrown for bad input: of a kind that its callers expect, with a message that fits in a line. */
export function assertExpected(thrown: unknown, ...kinds: readonly string[]): void {
  const { name, message } = thrown as Error
  if (!kinds.includes(name)) throw new Error(`${name} is thrown: ${message}`, { cause: thrown })
  if (ONE_LINE.has(name) && /[\r\n]/.test(message)) throw new Error(`a message of several lines: ${message}`, { cause: thrown })
  if (message.length > 4000) throw new Error(`a message of ${message.length} characters`, { cause: thrown })
}

/** The value; undefined after an error of these kinds. */
export function tried<T>(make: () => T, ...kinds: readonly string[]): T | undefined {
  try {
    return make()
  } catch (error) {
    assertExpected(error, ...kinds)
    return undefined
  }
}
