/** Reads YAML into a tree whose nodes know their line. What is not YAML is said in our words: the library's may show a password. */
import type { Alias, Document, ErrorCode, LineCounter, Node, YAMLError } from 'yaml'
import { ConfigError } from './error.ts'
import { type Entry, showKey, type Tree } from './tree.ts'

const RESERVED = 'a value that begins with a special character, want such a value in quotes'
const PROBLEMS: Readonly<Partial<Record<ErrorCode, string>>> = {
  BAD_ALIAS: RESERVED,
  BAD_DIRECTIVE: "a line that begins with '%', which means something else in YAML",
  BAD_DQ_ESCAPE: "a backslash in double quotes that means nothing, want single quotes or '\\\\'",
  BAD_INDENT: 'indentation that does not fit the lines above, or a bracket that is not closed',
  BAD_SCALAR_START: RESERVED,
  BLOCK_AS_IMPLICIT_KEY: 'a value and more keys below it or on its line, want one value for each key',
  MISSING_CHAR: "a quote or bracket that is not closed, or a key without ':'",
  MULTILINE_IMPLICIT_KEY: "a line without ':', want 'key: value'",
  MULTIPLE_DOCS: "a second document (after '---'), want one",
  TAB_AS_INDENT: 'a tab in the indentation, want blanks',
  TAG_RESOLVE_FAILED: RESERVED,
  UNEXPECTED_TOKEN: 'something left over after a value, or a bracket too many',
}

/**
 * @param file named in errors
 * @throws ConfigError for what is not one YAML document
 */
export async function readYaml(file: string, source: string): Promise<Tree> {
  const yaml = await import('yaml')
  const lines = new yaml.LineCounter()
  const document = yaml.parseDocument(source, {
    lineCounter: lines,
    prettyErrors: false,
    uniqueKeys: false, // duplicates are our own mistake, with both lines
    resolveKnownTags: false, // !!binary and the like have no use here
  })
  const trouble = document.errors[0] ?? document.warnings[0]
  if (trouble !== undefined) throw notYaml(file, source, lines.linePos(startOf(yaml, document, trouble)).line, PROBLEMS[trouble.code])
  return new TreeBuilder(yaml, document, file, lines).build(document.contents)
}

/** Where the mistake is: for a quote that is never closed, where it opens (the library says where the file ends). */
function startOf(yaml: typeof import('yaml'), document: Document, trouble: YAMLError): number {
  let start = trouble.pos[0]
  if (trouble.code === 'MISSING_CHAR') {
    yaml.visit(document, {
      Scalar: (_, { type, range }) => {
        if (type?.startsWith('QUOTE') && range?.[1] === trouble.pos[0]) start = range[0]
      },
    })
  }
  return start
}

function notYaml(file: string, source: string, line: number, problem: string | undefined): ConfigError {
  const key = /^[\s-]*([\w.-]+):(?:\s|$)/.exec(source.split('\n')[line - 1] ?? '')?.[1]
  return new ConfigError(
    `${file}:${line}: ${key === undefined ? '' : `${showKey(key)}: `}not YAML: found ${problem ?? 'what YAML does not know'}`,
  )
}

class TreeBuilder {
  readonly #yaml: typeof import('yaml')
  readonly #document: Document
  readonly #file: string
  readonly #lines: LineCounter
  /** Aliases share the tree of their anchor, so that few lines cannot become a huge tree; `undefined` while it is being built. */
  readonly #built = new Map<Node, Tree | undefined>()

  constructor(yaml: typeof import('yaml'), document: Document, file: string, lines: LineCounter) {
    this.#yaml = yaml
    this.#document = document
    this.#file = file
    this.#lines = lines
  }

  build(node: Node | null): Tree {
    if (node === null) return { kind: 'empty', line: 1 }
    if (this.#yaml.isAlias(node)) return this.#behind(node)
    this.#built.set(node, undefined)
    const tree = this.#convert(node, this.#lineOf(node))
    this.#built.set(node, tree)
    return tree
  }

  #convert(node: Node, line: number): Tree {
    if (this.#yaml.isSeq<Node | null>(node)) {
      return node.items.length === 0 ? { kind: 'empty', line } : { kind: 'list', line, items: node.items.map((item) => this.build(item)) }
    }
    if (this.#yaml.isMap<Node, Node | null>(node)) {
      const entries = node.items.map(({ key, value }) => this.#entry(key, value))
      return entries.length === 0 ? { kind: 'empty', line } : { kind: 'map', line, entries }
    }
    if (!this.#yaml.isScalar(node) || node.value === null || node.value === '') return { kind: 'empty', line }
    const { value, source, type } = node
    return { kind: 'scalar', line, text: source ?? String(value), quoted: type !== 'PLAIN', isText: typeof value === 'string' }
  }

  #entry(keyNode: Node, value: Node | null): Entry {
    const line = this.#lineOf(keyNode)
    const key = this.build(keyNode)
    if (key.kind !== 'scalar') throw this.#mistake(line, 'found a key that is no plain word, want key: value')
    return { key: key.text, line, value: value === null ? { kind: 'empty', line } : this.build(value) }
  }

  #behind(alias: Alias): Tree {
    const line = this.#lineOf(alias)
    const node = alias.resolve(this.#document)
    if (node === undefined) throw this.#mistake(line, `found ${RESERVED} (or the anchor of '*' above it)`)
    const tree = this.#built.get(node)
    if (tree === undefined) throw this.#mistake(line, "found a '*' within what it stands for, want it elsewhere")
    return { ...tree, line }
  }

  #lineOf(node: Node): number {
    return this.#lines.linePos(node.range?.[0] ?? 0).line
  }

  #mistake(line: number, problem: string): ConfigError {
    return new ConfigError(`${this.#file}:${line}: not YAML: ${problem}`)
  }
}
