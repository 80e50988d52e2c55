/** What may go: tables of stores, rules and what comes of them. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { reportOf } from '../../src/cache/prune-report.ts'
import { type Guards, newestMoment, type PruneRules, planPrune, REF_BYTES, recordBytes, storedBytes } from '../../src/cache/retention.ts'
import { d, Sketch } from './sketch.ts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR
const NOW = 1000 * DAY

/** What goes, in words: references, `manifest`s and `blob`s; orphans in brackets. */
function going(sketch: Sketch, rules: PruneRules, guards?: Guards): string {
  const { references, manifests, blobs } = planPrune(sketch.content, rules, NOW, guards)
  const orphan = (isOrphan: boolean, name: string) => (isOrphan ? `(${name})` : name)
  return [
    ...references.map(({ reference }) => sketch.spell(reference)),
    ...manifests.map(({ entry, isOrphan }) => orphan(isOrphan, sketch.nameOf(entry.digest))),
    ...blobs.map(({ digest, isOrphan }) => orphan(isOrphan, sketch.nameOf(digest))),
  ].join(' ')
}

const matching = (...parts: string[]): PruneRules => ({ matches: (reference) => parts.some((part) => reference.includes(part)) })
const NO_GUARDS: Guards = { servedSinceMs: Infinity, isInUse: () => false, filled: new Set(), orphansSinceMs: Infinity }

/** An index with two images, as a pull of two platforms leaves it. */
function multiArch(pulledMs = 0): Sketch {
  return new Sketch()
    .manifest('index', { lists: ['amd64', 'arm64', 's390x'] })
    .manifest('amd64', { blobs: ['c1', 'base'] })
    .manifest('arm64', { blobs: ['c2', 'arm'] })
    .ref('a.io/x/y:1', 'index', pulledMs)
    .ref('a.io/x/y@amd64', 'amd64', pulledMs + 50)
    .ref('a.io/x/y@arm64', 'arm64', pulledMs + 60)
}

const ALL_OF_IT = 'a.io/x/y:1 a.io/x/y@amd64 a.io/x/y@arm64 index amd64 arm64 c1 base c2 arm'

/** Two manifests, each under the tag that signatures of the other one would have. */
function circle(): Sketch {
  return new Sketch()
    .manifest('one', { blobs: ['c1'] }, 'a.io/x')
    .manifest('two', { blobs: ['c2'] }, 'a.io/x')
    .ref(`a.io/x:${d('two').replace(':', '-')}`, 'one')
    .ref(`a.io/x:${d('one').replace(':', '-')}`, 'two')
}

const patterns: [sentence: string, sketch: Sketch, rules: PruneRules, goes: string][] = [
  ['An index takes its images along, and they their blobs', multiArch(), matching('y:1'), ALL_OF_IT],
  ['Nothing that matches: nothing goes', multiArch(), matching('z'), ''],
  ['An image stays with an index that lists it, though its own digest matches', multiArch(), matching(`@${d('amd64')}`), ''],
  ['A tag goes alone when another has the same digest', multiArch().ref('a.io/x/y:2', 'index'), matching('y:1'), 'a.io/x/y:1'],
  [
    'An image that another index lists stays; what is only in the one that goes does not',
    multiArch()
      .manifest('other', { lists: ['amd64'] })
      .ref('a.io/x/y:2', 'other'),
    matching('y:1'),
    'a.io/x/y:1 a.io/x/y@arm64 index arm64 c2 arm',
  ],
  [
    'A layer that images share goes with the last of them',
    new Sketch()
      .manifest('one', { blobs: ['c1', 'base'] })
      .manifest('two', { blobs: ['c2', 'base'] })
      .ref('a.io/x:1', 'one')
      .ref('a.io/x:2', 'two'),
    matching('x:1'),
    'a.io/x:1 one c1',
  ],
  [
    'An image that was pulled by digest from another repository stays with that',
    multiArch().ref('b.io/z@amd64', 'amd64'),
    matching('a.io/'),
    'a.io/x/y:1 a.io/x/y@amd64 a.io/x/y@arm64 index arm64 c2 arm',
  ],
  [
    'An index within an index goes with it',
    new Sketch()
      .manifest('outer', { lists: ['inner'] })
      .manifest('inner', { lists: ['image'] })
      .manifest('image', { blobs: ['c'] })
      .ref('a.io/x:1', 'outer')
      .ref('a.io/x@inner', 'inner')
      .ref('a.io/x@image', 'image'),
    matching('x:1'),
    'a.io/x:1 a.io/x@image a.io/x@inner outer inner image c',
  ],
  [
    'What no reference needs goes with every prune: blobs, and what a tag pointed at before it moved',
    multiArch()
      .manifest('old', { lists: ['old-image'] })
      .manifest('old-image', { blobs: ['old-layer'] })
      .blob('stray'),
    matching('nothing'),
    '(old) (old-image) (old-layer) (stray)',
  ],
  [
    'What a client asked for by digest stays when the tag of its index has moved',
    multiArch()
      .manifest('old', { lists: ['old-image'] })
      .manifest('old-image', { blobs: ['old-layer'] })
      .ref('a.io/x/y@old-image', 'old-image'),
    matching('nothing'),
    '(old)',
  ],
  [
    'A signature goes with what it signs: by its subject, and by the tag of its name',
    new Sketch()
      .manifest('image', { blobs: ['c'] }, 'a.io/x')
      .manifest('sbom', { blobs: ['sbom-blob'], subject: 'image' }, 'a.io/x')
      .manifest('sig', { blobs: ['sig-blob'] }, 'a.io/x')
      .ref('a.io/x:1', 'image')
      .ref('a.io/x@sbom', 'sbom')
      .ref(`a.io/x:${d('image').replace(':', '-')}.sig`, 'sig'),
    matching('x:1'),
    `a.io/x:1 a.io/x:${d('image').replace(':', '-')}.sig a.io/x@sbom image sbom sig c sbom-blob sig-blob`,
  ],
  [
    'A signature stays with what it signs, whatever its own name',
    new Sketch()
      .manifest('image', { blobs: ['c'] })
      .manifest('sig', { blobs: ['sig-blob'] })
      .ref('a.io/x:1', 'image')
      .ref(`a.io/x:${d('image').replace(':', '-')}.sig`, 'sig'),
    matching('.sig'),
    '',
  ],
  [
    'A signature of what is not there is an image like any other',
    new Sketch().manifest('sig', { blobs: ['sig-blob'] }).ref(`a.io/x:${d('image').replace(':', '-')}.sig`, 'sig'),
    matching('.sig'),
    `a.io/x:${d('image').replace(':', '-')}.sig sig sig-blob`,
  ],
  [
    'Tags that claim to sign each other in a circle are on their own: they stay, and go, like any others',
    circle(),
    matching('nothing'),
    '',
  ],
  [
    'What claims to sign an image keeps nothing by that where it comes from another repository',
    new Sketch()
      .manifest('image', { blobs: ['c'] }, 'a.io/x')
      .manifest('evil', { blobs: ['big'], subject: 'image' }, 'evil.io/x')
      .ref('a.io/x:1', 'image')
      .ref('evil.io/x:1', 'evil'),
    matching('evil.io'),
    'evil.io/x:1 evil big',
  ],
  [
    'An index that refers to its own attestation in a circle goes by its name only',
    new Sketch()
      .manifest('image', { blobs: ['c'] })
      .manifest('attestation', { blobs: ['a'], subject: 'image' })
      .manifest('index', { lists: ['image'], subject: 'attestation' })
      .ref('a.io/x/y@image', 'image')
      .ref('a.io/x/y@attestation', 'attestation')
      .ref('a.io/x/y@index', 'index'),
    matching('nothing'),
    '',
  ],
  [
    'What is to be kept stays with all that it needs',
    multiArch(),
    { ...matching('y:1'), keep: (reference) => reference.endsWith(':1') },
    '',
  ],
  [
    'Of an index that goes, an image that is to be kept stays',
    multiArch(),
    { ...matching('y'), keep: (reference) => reference.includes(d('amd64')) },
    'a.io/x/y:1 a.io/x/y@arm64 index arm64 c2 arm',
  ],
  ['Only orphans', multiArch().blob('stray'), { orphansOnly: true }, '(stray)'],
]
for (const [sentence, sketch, rules, goes] of patterns) {
  test(sentence, () => {
    const sorted = (text: string) => text.split(' ').sort()
    assert.deepEqual(sorted(going(sketch, rules)), sorted(goes))
    assert.deepEqual(sorted(going(sketch, rules, NO_GUARDS).replace(/^$/, '')), sorted(goes), 'in a server where all is quiet, too')
  })
}

/** Tags 1 to 5, each with a layer of its own, pulled and created on the day of its number. */
function fiveDays(): Sketch {
  const sketch = new Sketch()
  for (const day of [1, 2, 3, 4, 5])
    sketch.manifest(`m${day}`, { blobs: [`b${day}`] }).ref(`a.io/x:${day}`, `m${day}`, day * DAY, (6 - day) * DAY)
  return sketch
}

const ages: [sentence: string, sketch: Sketch, rules: PruneRules, goes: string][] = [
  ['By last pull', fiveDays(), { olderThan: { by: 'accessed', ageMs: NOW - 3 * DAY } }, 'a.io/x:1 a.io/x:2'],
  ['By first record', fiveDays(), { olderThan: { by: 'created', ageMs: NOW - 3 * DAY } }, 'a.io/x:5 a.io/x:4'],
  [
    'Rules are to be met together',
    fiveDays(),
    { olderThan: { by: 'accessed', ageMs: NOW - 3 * DAY }, ...matching('x:2', 'x:5') },
    'a.io/x:2',
  ],
  ['At most so many, the oldest first', fiveDays(), { count: 2, ...matching('x') }, 'a.io/x:1 a.io/x:2'],
  [
    'So many are counted without those that stay',
    fiveDays(),
    { count: 2, ...matching('x'), keep: (r) => r.endsWith(':1') },
    'a.io/x:2 a.io/x:3',
  ],
  ['An index and its images count once', multiArch(), { count: 1, ...matching('y') }, 'a.io/x/y:1 a.io/x/y@amd64 a.io/x/y@arm64'],
  [
    'An image counts as pulled when an index that lists it was',
    multiArch(5 * DAY).ref('b.io/z@amd64', 'amd64', DAY),
    { olderThan: { by: 'accessed', ageMs: NOW - 3 * DAY } },
    '',
  ],
  [
    'An image that was pulled again by its own digest outlives its index',
    multiArch(DAY).ref('a.io/x/y@amd64', 'amd64', 5 * DAY),
    { olderThan: { by: 'accessed', ageMs: NOW - 3 * DAY } },
    'a.io/x/y:1 a.io/x/y@arm64',
  ],
  [
    'By first record it goes with its index',
    multiArch(DAY).ref('a.io/x/y@amd64', 'amd64', 5 * DAY),
    { olderThan: { by: 'created', ageMs: NOW - 3 * DAY } },
    'a.io/x/y:1 a.io/x/y@amd64 a.io/x/y@arm64',
  ],
]
for (const [sentence, sketch, rules, goes] of ages) {
  test(`${sentence}: ${goes || 'nothing'} goes`, () => {
    const { references } = planPrune(sketch.content, rules, NOW)
    assert.deepEqual(references.map(({ reference }) => sketch.spell(reference)).sort(), goes.split(' ').filter(Boolean).sort())
  })
}

/** With its reference. */
const RECORD = recordBytes({ sizeBytes: 1000 }) + REF_BYTES
const IMAGE = 1_000_000 + RECORD

const sizes: [sentence: string, sketch: Sketch, rules: PruneRules, goes: string][] = [
  ['All fits', fiveDays(), { maxBytes: 5 * IMAGE }, ''],
  ['One byte less', fiveDays(), { maxBytes: 5 * IMAGE - 1 }, 'a.io/x:1'],
  ['Room for two', fiveDays(), { maxBytes: 2 * IMAGE }, 'a.io/x:1 a.io/x:2 a.io/x:3'],
  ['No room at all', fiveDays(), { maxBytes: 0 }, 'a.io/x:1 a.io/x:2 a.io/x:3 a.io/x:4 a.io/x:5'],
  ['At most so many', fiveDays(), { maxBytes: 0, count: 2 }, 'a.io/x:1 a.io/x:2'],
  ['What is kept takes its room', fiveDays(), { maxBytes: 2 * IMAGE, keep: (r) => r.endsWith(':1') }, 'a.io/x:2 a.io/x:3 a.io/x:4'],
  ['Only what matches', fiveDays(), { maxBytes: 0, ...matching('x:4') }, 'a.io/x:4'],
  [
    'A layer that is shared takes its room once',
    fiveDays()
      .manifest('m6', { blobs: ['b5'] })
      .ref('a.io/x:6', 'm6', 6 * DAY),
    { maxBytes: IMAGE + RECORD },
    'a.io/x:1 a.io/x:2 a.io/x:3 a.io/x:4',
  ],
  [
    'An index goes with its images, which were pulled a moment after it',
    multiArch(DAY)
      .manifest('m', { blobs: ['b'] })
      .ref('a.io/z:1', 'm', 2 * DAY),
    { maxBytes: 4 * IMAGE },
    'a.io/x/y:1 a.io/x/y@amd64 a.io/x/y@arm64',
  ],
  [
    'An image that was pulled again by its digest is as young as that',
    multiArch(DAY)
      .ref('a.io/x/y@amd64', 'amd64', 3 * DAY)
      .manifest('m', { blobs: ['b'] })
      .ref('a.io/z:1', 'm', 2 * DAY),
    { maxBytes: 2_000_000 + RECORD + IMAGE + REF_BYTES },
    'a.io/x/y:1 a.io/x/y@arm64',
  ],
]
for (const [sentence, sketch, rules, goes] of sizes) {
  test(`A store may take so much. ${sentence}: ${goes || 'nothing'} goes`, () => {
    const before = storedBytes(sketch.content)
    const plan = planPrune(sketch.content, rules, NOW)
    assert.deepEqual(plan.references.map(({ reference }) => sketch.spell(reference)).sort(), goes.split(' ').filter(Boolean).sort())
    assert.equal(plan.freedBytes + plan.keptBytes, before)
    if (rules.count === undefined && rules.keep === undefined && rules.matches === undefined)
      assert.ok(plan.keptBytes <= (rules.maxBytes ?? 0))
  })
}

const quiet: Guards = { ...NO_GUARDS, servedSinceMs: NOW - 10 * MINUTE, orphansSinceMs: NOW - DAY }
const old = () => multiArch(NOW - 30 * DAY)
const everything = matching('')
const guarded: [sentence: string, sketch: Sketch, guards: Guards, goes: string][] = [
  ['What nobody uses goes', old(), quiet, ALL_OF_IT],
  ['What was pulled in the last ten minutes stays, with all that it needs', old().ref('a.io/x/y:1', 'index', NOW - 9 * MINUTE), quiet, ''],
  [
    'Of an index that goes, an image that was pulled in the last ten minutes stays',
    old().ref('a.io/x/y@amd64', 'amd64', NOW - 9 * MINUTE),
    quiet,
    'a.io/x/y:1 a.io/x/y@arm64 index arm64 c2 arm',
  ],
  [
    'What was served a moment ago stays, whatever the clock on the wall says',
    old(),
    { ...quiet, isInUse: (digest) => digest === d('index') },
    '',
  ],
  [
    'A blob that somebody reads stays',
    old(),
    { ...quiet, isInUse: (digest) => digest === d('base') },
    'a.io/x/y:1 a.io/x/y@amd64 a.io/x/y@arm64 index amd64 arm64 c1 c2 arm',
  ],
  ['An image that is being downloaded stays, with the index that lists it', old(), { ...quiet, filled: new Set([d('base')]) }, ''],
  ['A blob that is being downloaded for nobody stays', old().blob('stray'), { ...quiet, filled: new Set([d('stray')]) }, ALL_OF_IT],
  ['A blob that nothing needs stays for a day', old().blob('stray', NOW - 23 * HOUR), quiet, ALL_OF_IT],
  ['Then it goes', old().blob('stray', NOW - 25 * HOUR), quiet, `${ALL_OF_IT} (stray)`],
  [
    'A manifest that no reference names stays for a day, with what it needs',
    old().manifest('young', { blobs: ['b'], createdMs: NOW - 23 * HOUR }),
    quiet,
    ALL_OF_IT,
  ],
  ['A blob that this prune leaves without use goes however young it is', old().blob('base', NOW), quiet, ALL_OF_IT],
]
for (const [sentence, sketch, guards, goes] of guarded) {
  test(`In a running server: ${sentence}`, () => {
    const sorted = (text: string) => text.split(' ').sort()
    assert.deepEqual(sorted(going(sketch, everything, guards)), sorted(goes))
  })
}

const reasons: [sketch: Sketch, rules: PruneRules, guards: Guards | undefined, stays: string[]][] = [
  [multiArch(), { ...matching('y:1'), keep: () => true }, undefined, ['a.io/x/y:1 kept']],
  [multiArch(), matching(d('amd64')), undefined, ['a.io/x/y@amd64 needed by a.io/x/y:1']],
  [multiArch(NOW), matching('y:1'), quiet, ['a.io/x/y:1 served lately']],
  [old(), matching('y:1'), { ...quiet, filled: new Set([d('c1')]) }, ['a.io/x/y:1 being downloaded']],
]
for (const [sketch, rules, guards, stays] of reasons) {
  test(`It is said why something stays: ${stays.join(', ')}`, () => {
    const plan = planPrune(sketch.content, rules, NOW, guards)
    assert.deepEqual(
      plan.stays.map(({ reference, why, by }) => sketch.spell(`${reference} ${why}${by === undefined ? '' : ` by ${by}`}`)),
      stays,
    )
  })
}

const alone: [sketch: Sketch, rules: PruneRules, goes: string[]][] = [
  [multiArch().ref('a.io/x/y:2', 'index'), matching('y:1'), ['a.io/x/y:1, needed by a.io/x/y:2']],
  [
    multiArch().ref('a.io/x/y:2', 'index').ref('a.io/x/y:3', 'index'),
    matching('y:1', 'y:2'),
    ['a.io/x/y:1, needed by a.io/x/y:3', 'a.io/x/y:2, needed by a.io/x/y:3'],
  ],
  [
    multiArch()
      .manifest('other', { lists: ['amd64'] }, 'b.io/o')
      .ref('b.io/o:1', 'other'),
    matching('y:1'),
    ['a.io/x/y:1', 'a.io/x/y@amd64, needed by b.io/o:1', 'a.io/x/y@arm64'],
  ],
]
for (const [sketch, rules, goes] of alone) {
  test(`What goes without its content says so, and is not among what stays: ${goes.join('; ')}`, () => {
    const { references, stays } = reportOf(planPrune(sketch.content, rules, NOW), true)
    assert.deepEqual(
      references.map(({ reference, neededBy }) => sketch.spell(`${reference}${neededBy === undefined ? '' : `, needed by ${neededBy}`}`)),
      goes,
    )
    assert.deepEqual(stays, [])
  })
}

test('The newest moment is that of any reference; what records say has no zone, and does not count', () => {
  assert.deepEqual(newestMoment(fiveDays().content), { ms: 5 * DAY, reference: 'a.io/x:1' })
  assert.equal(newestMoment(fiveDays().manifest('m', { createdMs: 9 * DAY }).content).ms, 5 * DAY)
  assert.equal(newestMoment(new Sketch().content).ms, 0)
})

test('Where something could not be read no orphan goes, since it may need that; what the rules pick does', () => {
  const sketch = multiArch()
    .manifest('old', { blobs: ['old-layer'] })
    .blob('stray')
  const content = { ...sketch.content, catalog: sketch.catalog, blobs: sketch.blobs, unsure: 'a record could not be read' }
  const plan = planPrune(content, matching('y:1'), NOW)
  assert.deepEqual([plan.manifests.length, plan.blobs.length, plan.unsure], [3, 4, 'a record could not be read'])
})

test('What was pulled in the future, by a clock that was wrong, was not served lately', () => {
  assert.equal(going(multiArch(NOW + 400 * DAY), everything, quiet), going(old(), everything, quiet))
})

test('Indexes that are nested very deep are no trouble', () => {
  const sketch = new Sketch()
  const depth = 20_000
  for (let i = 0; i < depth; i++) sketch.manifest(`i${i}`, { lists: [`i${i + 1}`] })
  sketch.manifest(`i${depth}`, { blobs: ['b'] }).ref('a.io/x:1', 'i0')
  assert.equal(planPrune(sketch.content, matching('nothing'), NOW).manifests.length, 0)
  assert.equal(planPrune(sketch.content, matching('x:1'), NOW).manifests.length, depth + 1)
})
