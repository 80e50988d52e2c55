import assert from 'node:assert/strict'
import { test } from 'node:test'
import { safeUrl } from '../../src/server/safe-url.ts'

const urls: [url: string, shown: string][] = [
  ['/v2/', '/v2/'],
  ['/v2/library/alpine/manifests/3?ns=docker.io', '/v2/library/alpine/manifests/3?ns=docker.io'],
  ['/v2/a/tags/list?n=10&last=x', '/v2/a/tags/list?n=10&last=x'],
  ['/v2/a/blobs/sha256:0?ns=quay.io&token=secret', '/v2/a/blobs/sha256:0?ns=quay.io&token=…'],
  ['/v2/?X-Amz-Signature=secret&X-Amz-Credential=me', '/v2/?X-Amz-Signature=…&X-Amz-Credential=…'],
  ['/v2/?password=a=b', '/v2/?password=…'],
  ['/v2/?verbose', '/v2/?verbose'],
  ['http://user:secret@host/v2/?ns=x', 'http://host/v2/?ns=x'],
  ['http://a@b:secret@host/', 'http://host/'],
  ['/v2/a@b/manifests/1', '/v2/a@b/manifests/1'],
  ['/cmd/prune?type=pattern&expr=x&dryRun=true', '/cmd/prune?type=pattern&expr=x&dryRun=true'],
]
for (const [url, shown] of urls) test(`The log shows ${url} as ${shown}`, () => assert.equal(safeUrl(url), shown))
