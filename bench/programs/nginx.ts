/** nginx, twice: sending plain files with the headers of a registry, and caching an upstream with one download at a time. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { commandPath } from '../../test/e2e/support/requirements.ts'
import type { Item } from '../content.ts'
import type { Program, Setup } from './program.ts'

type ServerBlock = (setup: Setup) => { readonly http?: string; readonly locations: string }

const nginx = (role: string, serverBlock: ServerBlock): Program => ({
  name: 'nginx',
  role,
  async configure(setup) {
    const { directory, port } = setup
    const configFile = join(directory, 'nginx.conf')
    const { http = '', locations } = serverBlock(setup)
    await writeFile(
      configFile,
      `${process.getuid?.() === 0 ? 'user root;\n' : ''}worker_processes 2;
daemon off;
pid ${directory}/nginx.pid;
events { worker_connections 1024; }
http {
  access_log off;
  sendfile on;
  tcp_nopush on;
  keepalive_requests 1000000000;
  types { }
${temporaryPaths(directory)}
${http}
  server {
    listen 127.0.0.1:${port};
    location = /v2/ { default_type application/json; return 200 "{}"; }
    location = /status { stub_status; }
${locations}
  }
}
`,
    )
    return { command: commandPath('nginx'), args: ['-e', 'stderr', '-p', directory, '-c', configFile] }
  },
})

const temporaryPaths = (directory: string) =>
  ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((kind) => `  ${kind}_temp_path ${directory}/temporary-${kind};`).join('\n')

const staticLocation = ({ path, file, mediaType, digest }: Item) => `    location = "${path}" {
      alias "${file}";
      default_type ${mediaType};
      add_header Docker-Content-Digest ${digest};
    }`

export const nginxStatic = nginx('static files', ({ items }) => ({ locations: items.map(staticLocation).join('\n') }))

export const nginxProxyCache = nginx('proxy_cache with proxy_cache_lock', ({ directory, upstreamUrl }) => ({
  http: `  proxy_cache_path ${directory}/cache keys_zone=cache:10m use_temp_path=off inactive=1d;
  upstream origin { server ${new URL(upstreamUrl).host}; keepalive 32; }`,
  locations: `    location / {
      proxy_pass http://origin;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_cache cache;
      proxy_cache_valid 200 1d;
      proxy_cache_lock on;
      proxy_cache_lock_timeout 10m;
      proxy_cache_lock_age 10m;
    }`,
}))
