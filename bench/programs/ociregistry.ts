/** Ours: the built file, copied alone into its directory. */
import { copyFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { root } from '../../scripts/root.mjs'
import { registryName } from '../content.ts'
import type { Program } from './program.ts'

/** Its store. */
export const imagePathIn = (directory: string) => join(directory, 'images')

/** @param role how it is set up, where that is not by its defaults; `settings`: lines of YAML that do that */
export const ociregistryWith = (role: string, settings = ''): Program => ({
  name: 'ociregistry',
  role,
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
${settings}`,
    )
    return { command: process.execPath, args: [program, 'serve', '--config-file', configFile] }
  },
})

export const ociregistry = ociregistryWith('pull-through cache')
