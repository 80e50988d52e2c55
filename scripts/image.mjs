/** `npm run image`: dist/ociregistry-image.tar, which `ctr -n k8s.io image import`, `podman load` and `docker load` take, and dist/image/, of which the Containerfile builds the same. */
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { imageConfig } from './image/config.mjs'
import { dockerArchive } from './image/docker-archive.mjs'
import { baseLayer, programLayer } from './image/layers.mjs'
import { tarOf } from './image/tar.mjs'
import { imageNodeVersion, installNode } from './nodes.mjs'
import { root } from './root.mjs'
import { isoDate, sourceDateSeconds } from './source-date.mjs'

const { version, description } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))

/** @param {string[]} args */
function build(args) {
  const { output, name } = parseArgs({
    args,
    options: {
      output: { type: 'string', default: join(root, 'dist') },
      name: { type: 'string', default: `localhost/ociregistry:${version}` },
    },
  }).values
  const program = tarOf(programLayer())
  write(join(output, 'image/program.tar'), program)
  const base = tarOf(baseLayer(installNode(imageNodeVersion)))
  write(join(output, 'image/base.tar'), base)
  const config = imageConfig({ version, description, created: isoDate(sourceDateSeconds()) })
  const { archive, imageId } = dockerArchive(name, config, [base, program])
  write(join(output, 'ociregistry-image.tar'), archive)
  process.stderr.write(`${name} is ${imageId}\n`)
}

/** Whoever reads it meanwhile has the old file or the new one. @param {string} path @param {Buffer} content */
function write(path, content) {
  const file = resolve(path)
  const temporary = `${file}.${process.pid}`
  mkdirSync(dirname(file), { recursive: true })
  try {
    writeFileSync(temporary, content)
    renameSync(temporary, file)
  } finally {
    rmSync(temporary, { force: true })
  }
  process.stderr.write(`wrote ${relative(process.cwd(), file)} (${Math.ceil(content.length / 2 ** 20)} MiB)\n`)
}

try {
  build(process.argv.slice(2))
} catch (error) {
  process.stderr.write(
    `image failed: ${error instanceof Error ? error.message : error}\n(docs/container.md: on a base image that has Node)\n`,
  )
  process.exitCode = 1
}
