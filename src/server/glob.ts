/** Globs of file names as Go's filepath.Glob has them: `*`, `?`, `[a-z]`, `[^a-z]` and `\` within one segment of a path. */
import { lstat, readdir } from 'node:fs/promises'

/** What has a meaning of its own within a segment. */
const MAGIC = /[*?[\\]/

/** The paths that a pattern matches, sorted within each directory; what cannot be read matches nothing. @throws Error for a pattern that is none */
export async function glob(pattern: string): Promise<readonly string[]> {
  const segments = pattern.split('/').filter((segment) => segment !== '')
  let found: readonly string[] = [pattern.startsWith('/') ? '/' : '']
  for (const segment of segments) found = (await Promise.all(found.map((directory) => matchesIn(directory, segment)))).flat()
  return segments.length === 0 ? [] : found
}

async function matchesIn(directory: string, segment: string): Promise<readonly string[]> {
  const pathOf = (name: string) => (directory === '' || directory === '/' ? `${directory}${name}` : `${directory}/${name}`)
  if (!MAGIC.test(segment)) {
    const path = pathOf(segment)
    return (await lstat(path).catch(() => undefined)) === undefined ? [] : [path]
  }
  const expression = segmentExpression(segment)
  const names = await readdir(directory === '' ? '.' : directory).catch(() => [])
  return names
    .filter((name) => expression.test(name))
    .sort()
    .map(pathOf)
}

/** What names match a segment of a pattern. @throws Error for a segment that is no pattern */
export function segmentExpression(segment: string): RegExp {
  const chars = [...segment]
  let source = ''
  for (let i = 0; i < chars.length; i++) {
    const char = chars[i] as string
    if (char === '*') source += '.*'
    else if (char === '?') source += '.'
    else if (char === '\\') source += literal(chars[++i], segment)
    else if (char === '[') {
      const end = endOfClass(chars, i, segment)
      source += classSource(chars.slice(i + 1, end), segment)
      i = end
    } else source += literal(char, segment)
  }
  return new RegExp(`^${source}$`, 'su')
}

/** The index of the `]` that ends the class which begins at `start`. */
function endOfClass(chars: readonly string[], start: number, segment: string): number {
  for (let i = start + 1; i < chars.length; i++) {
    if (chars[i] === '\\') i++
    else if (chars[i] === ']') return i
  }
  throw badPattern(segment)
}

/** @param chars between the brackets */
function classSource(chars: readonly string[], segment: string): string {
  const negated = chars[0] === '^'
  let source = ''
  for (let i = negated ? 1 : 0; i < chars.length; ) {
    const [low, next] = classChar(chars, i, segment)
    const [high, after] = chars[next] === '-' ? classChar(chars, next + 1, segment) : [low, next]
    if ((low.codePointAt(0) as number) > (high.codePointAt(0) as number)) throw badPattern(segment)
    source += `${literal(low, segment)}-${literal(high, segment)}`
    i = after
  }
  if (source === '') throw badPattern(segment)
  return `[${negated ? '^' : ''}${source}]`
}

/** One character of a class, and the index behind it. */
function classChar(chars: readonly string[], at: number, segment: string): readonly [char: string, next: number] {
  const isEscape = chars[at] === '\\'
  const char = chars[isEscape ? at + 1 : at]
  if (char === undefined || (char === '-' && !isEscape)) throw badPattern(segment)
  return [char, at + (isEscape ? 2 : 1)]
}

/** As an expression that matches nothing else, within a class or outside. */
function literal(char: string | undefined, segment: string): string {
  if (char === undefined) throw badPattern(segment)
  return `\\u{${(char.codePointAt(0) as number).toString(16)}}`
}

function badPattern(segment: string): Error {
  return new Error(`'${segment}' is not a pattern: want * ? [a-z] [^a-z], and \\ in front of what is meant as it stands`)
}
