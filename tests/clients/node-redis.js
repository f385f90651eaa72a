// An application of node-redis, for tests/cluster/test_clients.py: node-redis.js PORT STORE
'use strict';
const assert = require('assert');
const { createClient } = require('redis');
const { version } = require('redis/package.json');
const { reconnects } = require('./reconnects');

const [port, store] = process.argv.slice(2);
const prefix = 'node-redis:';

async function main() {
  const options = { url: `redis://127.0.0.1:${port}` };
  if (version.startsWith('5.')) options.RESP = 3; // from 6 on that is the default
  const client = createClient(options);
  client.on('error', () => {}); // a connection that breaks is made again
  await client.connect();
  assert.strictEqual(await client.ping(), 'PONG');
  await client.set(prefix + 'k', 'value');
  assert.strictEqual(await client.get(prefix + 'k'), 'value');
  assert.strictEqual(await client.get(prefix + 'none'), null);
  await Promise.all(Array.from({ length: 500 }, (_, i) => client.set(`${prefix}p${i}`, String(i))));
  const values = await Promise.all(Array.from({ length: 500 }, (_, i) => client.get(`${prefix}p${i}`)));
  assert.deepStrictEqual(values, Array.from({ length: 500 }, (_, i) => String(i)));
  const found = new Set();
  for await (const keys of client.scanIterator({ MATCH: prefix + 'p*', COUNT: 100 }))
    for (const key of [].concat(keys)) {
      assert(!found.has(key), `${key} twice`);
      found.add(key);
    }
  assert.strictEqual(found.size, 500);
  await assert.rejects(client.incr(prefix + 'k'), /ERR value is not an integer or out of range/);
  await assert.rejects(client.sendCommand(['NOSUCH', 'x']), /ERR unknown command 'NOSUCH'/);
  if (store === 'redis') {
    await client.del(prefix + 'h');
    await client.hSet(prefix + 'h', { one: '1', two: '2' });
    assert.deepStrictEqual({ ...(await client.hGetAll(prefix + 'h')) }, { one: '1', two: '2' });
    const replies = await client.multi().set(prefix + 't', '1').incr(prefix + 't').get(prefix + 't').exec();
    assert.deepStrictEqual(replies, ['OK', 2, '2']);
  }
  await reconnects(() => client.set(prefix + 'k', 'again'));
  assert.strictEqual(await client.get(prefix + 'k'), 'again');
  await client.close();
  console.log(`node-redis ${version}`);
}

main().catch((error) => { console.error(error); process.exit(1); });
