import assert from 'node:assert/strict'
import { test } from 'node:test'
import { RequestIds } from '../../src/server/request-id.ts'

const fit = ['a', '0123-abc.DEF:x_y', 'x'.repeat(128)]
for (const id of fit) test(`The id ${id.slice(0, 20)} of a request is kept`, () => assert.equal(new RequestIds().of(id), id))

const unfit: (string | string[] | undefined)[] = [undefined, '', 'x'.repeat(129), 'a b', 'a\nb', 'ä', 'a"b', 'a,b', ['a', 'b']]
for (const id of unfit) {
  test(`A request that brings the id ${JSON.stringify(id)?.slice(0, 20)} gets another one`, () => {
    const ids = new RequestIds()
    const [one, other] = [ids.of(id), ids.of(id)]
    assert.match(one, /^[0-9a-f]{12}-1$/)
    assert.notEqual(one, other)
  })
}
