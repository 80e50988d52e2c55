#!/usr/bin/env node
/** The health check of the container image: exit code 0 while the server beside it answers. OCIREGISTRY_HEALTH_URL names another address than that of the defaults. */
const { get } = require('node:http')

const url = process.env.OCIREGISTRY_HEALTH_URL || 'http://127.0.0.1:8080/v2/'
const limitMs = 4000

/** @param {string} why */
function ill(why) {
  process.stderr.write(`${url}: ${why}\n`)
  process.exit(1)
}

get(url, { signal: AbortSignal.timeout(limitMs) }, ({ statusCode }) => {
  if (statusCode !== 200) ill(`answers ${statusCode}`)
  process.exit(0)
}).on('error', ({ message }) => ill(message))
