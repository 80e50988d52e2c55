/** The examples of the documents: the tests use what users are shown, so that it cannot be wrong. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { root } from '../../scripts/root.mjs'

/** The one example in `language` that `pattern` matches. @param document from the root: `docs/moving.md` */
export async function exampleIn(document: string, language: string, pattern: RegExp): Promise<string> {
  const text = await readFile(join(root, document), 'utf8')
  const examples = [...text.matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\`$`, 'gms'))].map(([, example = '']) => example)
  const found = examples.filter((example) => pattern.test(example))
  if (found.length !== 1) throw new Error(`${document} has ${found.length} ${language} examples that match ${pattern}; there must be one`)
  return found[0] ?? ''
}
