/** What docs/container.md has for Kubernetes fits the image: who runs it, how it is started, where its volume is; and its configuration loads. */
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import test from 'node:test'
import { parseAllDocuments } from 'yaml'
import { imageConfig } from '../../scripts/image/config.mjs'
import { userId } from '../../scripts/image/layers.mjs'
import { root } from '../../scripts/root.mjs'
import { loadText } from '../config/load-text.ts'

const text = await readFile(join(root, 'docs/container.md'), 'utf8')
const [, manifests = ''] = /^```yaml\n(apiVersion[\s\S]*?)^```$/m.exec(text) ?? []
const objects = parseAllDocuments(manifests).map((document) => document.toJS())
const objectOf = (kind: string) => objects.find((object) => object.kind === kind)
const { config } = imageConfig({ version: '1', description: 'd', created: '2026-01-01T00:00:00Z' })

test('the Deployment of the documentation starts the image as it is made', () => {
  const pod = objectOf('Deployment').spec.template.spec
  const [container] = pod.containers
  assert.deepEqual([pod.securityContext.runAsUser, pod.securityContext.fsGroup], [userId, userId])
  assert.deepEqual(container.command, config.Entrypoint)
  const mounts = container.volumeMounts.map(({ mountPath }: { mountPath: string }) => mountPath)
  for (const volume of Object.keys(config.Volumes)) assert.ok(mounts.includes(volume), volume)
  const file = container.args[container.args.indexOf('--config-file') + 1]
  assert.ok(mounts.includes(file.replace(/\/[^/]+$/, '')), file)
  assert.equal(pod.containers[0].ports[0].containerPort, 8080)
})

test('the configuration in the documentation loads, and its health port is the one that is probed', async (t) => {
  const loaded = await loadText(t, objectOf('ConfigMap').data['registry-config.yaml'])
  const [container] = objectOf('Deployment').spec.template.spec.containers
  const health = container.ports.find(({ name }: { name: string }) => name === 'health')
  assert.deepEqual([loaded.warnings, loaded.config.health], [[], health.containerPort])
})
