/** Debian's docker-registry as the upstream. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Cleanup } from './cleanup.ts'
import { until } from './poll.ts'
import { freePort } from './ports.ts'
import { type Running, start } from './processes.ts'
import { commandPath } from './requirements.ts'
import { testDirectory } from './run-directory.ts'

export type DockerRegistry = { readonly url: string; readonly process: Running }

export async function startDockerRegistry(t: Cleanup, storage: string): Promise<DockerRegistry> {
  const directory = await testDirectory(t)
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const configFile = join(directory, 'registry.yml')
  // "validation" lets manifests with foreign `urls` in
  await writeFile(
    configFile,
    `version: 0.1
log: {level: error}
storage: {filesystem: {rootdirectory: ${JSON.stringify(storage)}}, delete: {enabled: true}}
validation: {disabled: true}
http: {addr: "127.0.0.1:${port}"}
`,
  )
  const process = start(t, 'docker-registry', commandPath('docker-registry'), ['serve', configFile], {
    env: { OTEL_TRACES_EXPORTER: 'none' },
  })
  await until('docker-registry answers', async () => {
    if (process.exit() !== undefined) throw new Error(`docker-registry ended: ${process.output()}`)
    return (await fetch(`${url}/v2/`).catch(() => undefined))?.ok
  })
  return { url, process }
}
