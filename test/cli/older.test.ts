/** Command lines as users of the programs before this one type them, and the answers. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { run } from '../../src/cli/run.ts'
import { until } from '../support/until.ts'
import { FakeIo } from './fake-io.ts'

const OLD = 'found a flag of an older version'

const answers: [typed: string[], line: string][] = [
  // 1.7, as its README had them
  [
    ['--image-path=/var/ociregistry/images', '--log-level=info', '--load-images=/home/me/imagelist', '--arch=amd64', '--os=linux'],
    `--load-images: ${OLD}, want: ociregistry load --image-path /var/ociregistry/images --log-level info --image-file /home/me/imagelist --arch amd64 --os linux`,
  ],
  [
    ['--log-level=debug', '--image-path=/tmp/frobozz', '--load-images=./hack/image-list', '--pull-timeout=200000', '--concurrent=100'],
    `--load-images: ${OLD}, want: ociregistry load --log-level debug --image-path /tmp/frobozz --image-file ./hack/image-list --pull-timeout 200000 --concurrency 100`,
  ],
  [
    ['--image-path=/var/ociregistry/images', '--log-level=info', '--preload-images=/home/me/imagelist', '--arch=amd64', '--os=linux'],
    '--preload-images: found without a command, want: ociregistry serve --image-path /var/ociregistry/images --log-level info --preload-images /home/me/imagelist --arch amd64 --os linux',
  ],
  [
    ['--image-path', '/tmp/images', '--port', '8080'],
    '--port: found without a command, want: ociregistry serve --image-path /tmp/images --port 8080',
  ],
  [
    ['--image-path', '/tmp/images', '--port', '8080', '--log-level', 'trace'],
    '--port: found without a command, want: ociregistry serve --image-path /tmp/images --port 8080 --log-level trace',
  ],
  [['--config-path', '/my/cfg'], '--config-path: found without a command, want: ociregistry serve --config-file /my/cfg'],
  [['-port', '80', '-always-pull-latest'], '--port: found without a command, want: ociregistry serve --port 80 --always-pull-latest'],
  [['--port=80', '--air-gapped=false'], '--port: found without a command, want: ociregistry serve --port 80 --air-gapped=false'],
  [['--list-cache'], `--list-cache: ${OLD}, want: ociregistry list`],
  [['--list-cache=true', '--port', '80'], `--list-cache: ${OLD}, want: ociregistry list`],
  [['--image-path', '/x', '-list-cache'], `--list-cache: ${OLD}, want: ociregistry list --image-path /x`],
  [['serve', '--list-cache', 'x'], `--list-cache: ${OLD}, want: ociregistry list`],
  [['--prune'], `--prune: ${OLD}, want: ociregistry prune --pattern PATTERN`],
  [['--prune', '--dry-run', '--image-path', '/x'], `--prune: ${OLD}, want: ociregistry prune --pattern PATTERN --dry-run --image-path /x`],
  [['--dry-run', '--prune', 'a.io/.*'], `--prune: ${OLD}, want: ociregistry prune --dry-run --pattern 'a.io/.*'`],
  [["--prune=it's"], `--prune: ${OLD}, want: ociregistry prune --pattern 'it'\\''s'`],
  [
    ['--prune-before', '2024-01-01T00:00:00'],
    '--prune-before: found without a command, want: ociregistry prune --date 2024-01-01T00:00:00',
  ],
  [['--load-images', '/a b'], `--load-images: ${OLD}, want: ociregistry load --image-file '/a b'`],
  [['--load-images=-a'], `--load-images: ${OLD}, want: ociregistry load --image-file=-a`],
  [['--load-images', 'a', '--log-file=-x'], `--load-images: ${OLD}, want: ociregistry load --image-file a --log-file=-x`],
  [
    ['--preload-images', 'x', '--concurrent', '3'],
    '--preload-images: found without a command, want: ociregistry serve --preload-images x --concurrency 3',
  ],
  [['--dry-run'], '--dry-run: found without a command, want: ociregistry prune --dry-run'],
  [['--load-images', 'x', '--prot', '1'], '--prot: found an unknown flag, want --port (the nearest) or another one that --help lists'],
  // containerd-registry-cache
  [
    ['-d', '/data', '-p', '3000', '-l', 'debug', '-f', '/creds.yaml'],
    '-d: found without a command, want: ociregistry serve --image-path /data --port 3000 --log-level debug --creds-file /creds.yaml',
  ],
  [['--cache-dir=/data'], '--cache-dir: found without a command, want: ociregistry serve --image-path /data'],
  [
    ['-d', '/data', '--private-registry=a.io', '-t', 'latest|edge', '-m=no'],
    "-d: found without a command, want: ociregistry serve --image-path /data --private-registry a.io --skip-tags 'latest|edge' --cache-manifests=no",
  ],
  [['serve', '-t', ''], "-t: found no value, want Go's regular expression, such as ^latest$, or .* for all"],
  [
    ['serve', '--skip-tags', '(?=x)'],
    `--skip-tags: found "(?=x)" (invalid or unsupported Perl syntax: \`(?=\`), want Go's regular expression, such as ^latest$, or .* for all`,
  ],
  [['serve', '-m', 'no'], '"no": found a word behind the command serve, want only options there'],
  [['serve', '-b', 'my-bucket'], '-b: found a flag that comes with a later version, want --image-path with a directory in its place'],
  [['serve', '--bucket=b'], '--bucket: found a flag that comes with a later version, want --image-path with a directory in its place'],
]
for (const [typed, line] of answers) {
  test(`'${typed.join(' ')}' is answered on stderr with what to type, exit 1`, async () => {
    const io = new FakeIo()
    assert.equal(await run(typed, io), 1)
    assert.deepEqual([io.out, io.err, io.started.length], ['', `error: ${line}\n`, 0])
  })
}

for (const typed of [
  ['--load-images', 'x', '--help'],
  ['-d', '/x', '-h'],
  ['--private-registry', 'a.io', '-h'],
]) {
  test(`'${typed.join(' ')}' shows help, exit 0`, async () => {
    const io = new FakeIo()
    assert.equal(await run(typed, io), 0)
    assert.match(io.out, /^NAME:\n/)
  })
}

test("The answer's command line is one that works", async () => {
  const io = new FakeIo()
  assert.equal(await run(['-p', '0', '-d', '/srv/a b', '-l', 'trace'], io), 1)
  const words = /want: ociregistry (.*)\n$/.exec(io.err)?.[1]?.match(/'[^']*'|\S+/g) ?? []
  const again = new FakeIo()
  const done = run(
    words.map((word) => word.replaceAll("'", '')),
    again,
  )
  await until(() => again.err.includes('Process id'))
  await again.signal()
  assert.equal(await done, 0)
  const { imagePath, logLevel, port } = again.started[0]?.config ?? {}
  assert.deepEqual([imagePath, logLevel, port], ['/srv/a b', 'debug', 0])
})
