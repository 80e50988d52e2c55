/** A configuration file as a tree whose nodes know their line: what `yaml.ts` makes and the settings are read from. */

/** One plain value, in the words of its source: `0012` stays `0012`. A flag's value is one too. */
export type Scalar = {
  readonly text: string
  /** Whether it stood in quotes, or was a block of text: then it is neither a number nor a boolean. */
  readonly quoted: boolean
  /** Whether YAML takes it for text; a flag's value is text. */
  readonly isText: boolean
}
export type Entry = { readonly key: string; readonly line: number; readonly value: Tree }
export type Tree =
  /** Nothing, `''`, `[]` or `{}`: the default is meant. */
  | { readonly kind: 'empty'; readonly line: number }
  | (Scalar & { readonly kind: 'scalar'; readonly line: number })
  | { readonly kind: 'list'; readonly line: number; readonly items: readonly Tree[] }
  | { readonly kind: 'map'; readonly line: number; readonly entries: readonly Entry[] }

const LONGEST_SHOWN = 60
const KINDS = { empty: 'nothing', scalar: 'a single value', list: 'a list', map: 'a map' } as const

/** What a node is, without its value: that may be a password in the wrong place. */
export function kindOf(tree: Tree): string {
  return KINDS[tree.kind]
}

/** A value as messages show it: text in quotes, all on one line. */
export function showScalar({ text, isText }: Scalar): string {
  const shown = showPart(text)
  return isText ? JSON.stringify(shown) : shown
}

/** As much of it as messages show. */
export function showPart(text: string): string {
  return text.length > LONGEST_SHOWN ? `${text.slice(0, LONGEST_SHOWN)}…` : text
}

/** A key as messages show it: in quotes where it does not look like one, or is cut. */
export function showKey(key: string): string {
  return /^[\w.-]+$/.test(key) && key.length <= LONGEST_SHOWN ? key : showScalar({ text: key, quoted: true, isText: true })
}
