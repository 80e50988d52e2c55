/** Debian's docker-registry as the upstream. */
import { writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { join } from 'node:path'
import type { Certificate } from '../../support/certificates.ts'
import type { Cleanup } from './cleanup.ts'
import { until } from './poll.ts'
import { freePort } from './ports.ts'
import { type Running, start } from './processes.ts'
import { commandPath } from './requirements.ts'
import { testDirectory } from './run-directory.ts'

export type DockerRegistry = { readonly url: string; readonly process: Running }

/** @param certificate what it shows to TLS clients; without one it speaks plain http */
export async function startDockerRegistry(t: Cleanup, storage: string, certificate?: Certificate): Promise<DockerRegistry> {
  const directory = await testDirectory(t)
  const port = await freePort()
  const url = `http${certificate === undefined ? '' : 's'}://127.0.0.1:${port}`
  const tls = certificate && `, tls: ${JSON.stringify({ certificate: certificate.certPath, key: certificate.keyPath })}`
  const configFile = join(directory, 'registry.yml')
  // "validation" lets manifests with foreign `urls` in
  await writeFile(
    configFile,
    `version: 0.1
log: {level: error}
storage: {filesystem: {rootdirectory: ${JSON.stringify(storage)}}, delete: {enabled: true}}
validation: {disabled: true}
http: {addr: "127.0.0.1:${port}"${tls ?? ''}}
`,
  )
  const process = start(t, 'docker-registry', commandPath('docker-registry'), ['serve', configFile], {
    env: { OTEL_TRACES_EXPORTER: 'none' },
  })
  await until('docker-registry answers', async () => {
    if (process.exit() !== undefined) throw new Error(`docker-registry ended: ${process.output()}`)
    return accepts(port)
  })
  return { url, process }
}

/** It listens when everything else is ready. */
function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    socket.once('error', () => resolve(false))
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
  })
}
