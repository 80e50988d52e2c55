/** `docs/openapi.yaml` describes what the routers know, no more and no less. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { parse } from 'yaml'
import { ADMIN_ROUTES, isForAdmin } from '../../src/server/admin/routes.ts'
import { findRoute, type Route } from '../../src/server/route.ts'
import { layAdmin } from './admin/support.ts'

type Parameter = { readonly $ref?: string; readonly name: string; readonly in: string; readonly schema: { readonly type: string } }
type Operation = { readonly requestBody?: object; readonly responses: Readonly<Record<string, { readonly $ref?: string }>> }
type Path = Readonly<Record<string, Operation>> & { readonly parameters?: readonly Parameter[] }
type Described = {
  readonly paths: Readonly<Record<string, Path>>
  readonly components: Readonly<Record<string, Readonly<Record<string, Parameter>>>>
}

const text = readFileSync(new URL('../../docs/openapi.yaml', import.meta.url), 'utf8')
const described = parse(text) as Described
const paths = Object.entries(described.paths)
const DIGEST = `sha256:${'0'.repeat(64)}`

const methodsOf = (path: Path) =>
  Object.keys(path)
    .filter((key) => key !== 'parameters')
    .map((method) => method.toUpperCase())
const parametersOf = (path: Path, where: string) =>
  (path.parameters ?? []).map((parameter) => resolved(parameter)).filter((parameter) => parameter.in === where)

function resolved(parameter: Parameter): Parameter {
  const [, , section = '', name = ''] = parameter.$ref?.split('/') ?? []
  return described.components[section]?.[name] ?? parameter
}

function filled(path: string): string {
  return path.replace('{name}', 'quay.io/app').replace('{reference}', '1').replace('{digest}', DIGEST)
}

test('Every path, method and parameter of the admin API is described, and nothing else', () => {
  const told = paths
    .filter(([path]) => isForAdmin(path))
    .map(([path, item]) => {
      const parameters = parametersOf(item, 'query')
      return [
        path,
        methodsOf(item).sort(),
        parameters.map(({ name }) => name),
        parameters.filter(({ schema }) => schema.type === 'array').map(({ name }) => name),
        methodsOf(item).some((method) => item[method.toLowerCase()]?.requestBody !== undefined),
      ]
    })
  assert.deepEqual(
    told,
    ADMIN_ROUTES.map(({ path, methods, parameters, repeatable = [], takesBody = false }) => {
      return [path, [...methods].sort(), parameters, repeatable, takesBody]
    }),
  )
})

test('Every shape of the pull API is described, and nothing else', () => {
  const kinds: Readonly<Record<Exclude<Route['kind'], 'unknown'>, string>> = {
    root: '/',
    ping: '/v2/',
    manifest: '/v2/{name}/manifests/{reference}',
    blob: '/v2/{name}/blobs/{digest}',
    tags: '/v2/{name}/tags/list',
    referrers: '/v2/{name}/referrers/{digest}',
  }
  const told = paths.filter(([path]) => !isForAdmin(path)).map(([path]) => [findRoute(filled(path).slice(1).split('/')).kind, path])
  assert.deepEqual(told, Object.entries(kinds))
})

test('Every parameter that the pull API reads is described, and nothing else', () => {
  const source = readFileSync(new URL('../../src/server/pull-api.ts', import.meta.url), 'utf8')
  const read = new Set(Array.from(source.matchAll(/query\.(?:get|params\.getAll)\('(\w+)'\)/g), ([, name]) => name))
  const told = new Set(
    paths.filter(([path]) => !isForAdmin(path)).flatMap(([, item]) => parametersOf(item, 'query').map(({ name }) => name)),
  )
  assert.deepEqual([...told].sort(), [...read].sort())
  for (const [path, item] of paths)
    assert.deepEqual(
      parametersOf(item, 'path').map(({ name }) => name),
      Array.from(path.matchAll(/\{(\w+)\}/g), ([, name]) => name),
      path,
    )
})

test('Every reference within the description leads somewhere', () => {
  const components = described.components as Readonly<Record<string, Readonly<Record<string, unknown>>>>
  for (const [, section = '', name = ''] of text.matchAll(/"#\/components\/(\w+)\/(\w+)"/g))
    assert.ok(components[section]?.[name] !== undefined, `${section}/${name}`)
})

test('The server answers what is described with a status that is described, and refuses all other methods', async (t) => {
  const { ask } = await layAdmin(t, { airGapped: true })
  for (const [path, item] of paths.filter(([name]) => name !== '/cmd/stop')) {
    for (const method of ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE']) {
      const { status } = await ask(filled(path), { method })
      const operation = item[method.toLowerCase()]
      if (operation !== undefined) assert.ok(operation.responses[status] !== undefined, `${method} ${path}: ${status}`)
      else assert.ok(status === 405 || (path === '/' && status < 300), `${method} ${path}: ${status}`)
    }
  }
})

test('Every admin operation describes who is not let in, and what a mistake is', () => {
  for (const [path, item] of paths.filter(([name]) => isForAdmin(name)))
    for (const method of methodsOf(item))
      for (const status of ['400', '401', '403'])
        assert.ok(item[method.toLowerCase()]?.responses[status] !== undefined, `${method} ${path}`)
})
