/** How the image is run. The Containerfile says the same, and a test compares the two. */
import { storePath, userId } from './layers.mjs'

/** Nanoseconds, as Docker counts. */
const second = 1e9

/** What Go calls the machine that this Node runs on. */
const architectures = new Map([
  ['x64', 'amd64'],
  ['arm64', 'arm64'],
])

/** @param {{ version: string, description: string, created: string }} facts */
export function imageConfig({ version, description, created }) {
  const architecture = architectures.get(process.arch)
  if (architecture === undefined)
    throw new Error(`the image is made for ${[...architectures.values()].join(' and ')} only, on such a machine`)
  return {
    created,
    architecture,
    os: 'linux',
    config: {
      User: `${userId}:${userId}`,
      ExposedPorts: { '8080/tcp': {} },
      Env: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'],
      Entrypoint: ['/ociregistry/server'],
      Cmd: ['serve'],
      Volumes: { [`/${storePath}`]: {} },
      WorkingDir: '/',
      StopSignal: 'SIGTERM',
      Healthcheck: {
        Test: ['CMD', '/ociregistry/healthy'],
        Interval: 30 * second,
        Timeout: 5 * second,
        StartPeriod: 30 * second,
        Retries: 3,
      },
      Labels: {
        'org.opencontainers.image.title': 'ociregistry',
        'org.opencontainers.image.description': description,
        'org.opencontainers.image.version': version,
        'org.opencontainers.image.licenses': 'Apache-2.0',
      },
    },
    history: [
      { created: '1970-01-01T00:00:00Z', created_by: 'Node, its libraries and certificate authorities' },
      { created, created_by: `ociregistry ${version}` },
    ],
  }
}
