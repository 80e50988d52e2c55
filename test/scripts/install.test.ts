import assert from 'node:assert/strict'
import test from 'node:test'
import { explainFailure, nodeTooOld } from '../../scripts/install.mjs'

const versions: [version: string, old: boolean][] = [
  ['18.20.4', true],
  ['20.9.0', true],
  ['20.18.0', true],
  ['20.18.1', false],
  ['20.20.2', false],
  ['24.1.0', false],
]
for (const [version, old] of versions) {
  test(`Node ${version} is ${old ? 'too old' : 'new enough'}`, () => assert.equal(nodeTooOld(version) !== undefined, old))
}

const failures: [output: string, says: RegExp][] = [
  [
    'npm error code ENOTFOUND\nnpm error network request to https://registry.npmjs.org/yaml failed, reason: x',
    /registry cannot be reached.*registry.npmjs.org\/yaml failed, reason: x/,
  ],
  ['npm error code EAI_AGAIN', /registry cannot be reached/],
  ['npm error code EACCES\n', /^npm error code EACCES\nnpm ci failed$/],
]
for (const [output, says] of failures) {
  test(`npm ci that says ${output.split('\n')[0]} is explained`, () => assert.match(explainFailure(output), says))
}
