/** Real programs `docker-credential-*` for a test: shell scripts in a directory of their own, and what they were asked. */
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { temporaryDirectory } from './files.ts'

export class HelperPrograms {
  readonly env: Readonly<Record<string, string>>
  readonly directory: string

  constructor(directory: string) {
    this.directory = directory
    this.env = { PATH: `${directory}:/usr/bin:/bin`, HELPERS: directory }
  }

  /** @param script of a shell; what it was asked for is in `$server`. @param mode of the file */
  async add(name: string, script: string, mode = 0o755): Promise<void> {
    const file = join(this.directory, `docker-credential-${name}`)
    await writeFile(file, `#!/bin/sh\nserver=$(cat)\necho "$1 $server" >> "$HELPERS/${name}.asked"\n${script}\n`)
    await chmod(file, mode)
  }

  /** A helper that knows one user. */
  answering(name: string, user: string, secret: string): Promise<void> {
    return this.add(name, `echo '${JSON.stringify({ ServerURL: '', Username: user, Secret: secret })}'`)
  }

  /** What a helper was run with so far: `get quay.io`. */
  async asked(name: string): Promise<string[]> {
    const text = await readFile(join(this.directory, `${name}.asked`), 'utf8').catch(() => '')
    return text.split('\n').slice(0, -1)
  }
}

export async function helperPrograms(t: Pick<TestContext, 'after'>): Promise<HelperPrograms> {
  const directory = join(await temporaryDirectory(t), 'helpers')
  await mkdir(directory)
  return new HelperPrograms(directory)
}
