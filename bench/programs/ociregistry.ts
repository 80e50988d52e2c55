/** Ours: the built file, copied alone into its directory. */
import { copyFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { root } from '../../scripts/root.mjs'
import { registryName } from '../content.ts'
import type { Program } from './program.ts'

/** Its store. */
export const imagePathIn = (directory: string) => join(directory, 'images')

export const ociregistry: Program = {
  name: 'ociregistry',
  role: 'pull-through cache',
  async configure({ directory, upstreamUrl, port }) {
    const program = join(directory, 'ociregistry.cjs')
    const configFile = join(directory, 'config.yaml')
    await copyFile(join(root, 'dist/ociregistry.cjs'), program)
    await writeFile(
      configFile,
      `imagePath: ${JSON.stringify(imagePathIn(directory))}
host: 127.0.0.1
port: ${port}
registries:
  - name: ${registryName}
    url: ${upstreamUrl}
`,
    )
    return { command: process.execPath, args: [program, 'serve', '--config-file', configFile] }
  },
}
