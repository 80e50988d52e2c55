/** The client configurations of the README: the tests use what it shows, so that it cannot be wrong. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { root } from '../../../scripts/root.mjs'

/** The example in `language` that `pattern` matches, with `mirror` (`host:port`) in place of the address that the README gives the server. */
export async function readmeExample(language: 'toml' | 'json' | 'sh', pattern: RegExp, mirror: string): Promise<string> {
  const readme = await readFile(join(root, 'README.md'), 'utf8')
  const examples = [...readme.matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\`$`, 'gms'))].map(([, text = '']) => text)
  const found = examples.filter((text) => pattern.test(text))
  if (found.length !== 1) throw new Error(`README.md has ${found.length} ${language} examples that match ${pattern}; there must be one`)
  return (found[0] ?? '').replaceAll('127.0.0.1:8080', mirror)
}
