/** The client configurations of the README. */
import { exampleIn } from '../../support/documents.ts'

/** The example in `language` that `pattern` matches, with `mirror` (`host:port`) in place of the address that the README gives the server. */
export async function readmeExample(language: 'toml' | 'json' | 'sh', pattern: RegExp, mirror: string): Promise<string> {
  return (await exampleIn('README.md', language, pattern)).replaceAll('127.0.0.1:8080', mirror)
}
