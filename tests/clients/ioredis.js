// An application of ioredis, for tests/cluster/test_clients.py: ioredis.js PORT STORE
'use strict';
const assert = require('assert');
const Redis = require('ioredis');
const { version } = require('ioredis/package.json');
const { reconnects } = require('./reconnects');

const [port, store] = process.argv.slice(2);
const prefix = 'ioredis:';

async function main() {
  const client = new (Redis.default || Redis)(Number(port));
  client.on('error', () => {}); // a connection that breaks is made again
  assert.strictEqual(await client.ping(), 'PONG');
  await client.set(prefix + 'k', 'value');
  assert.strictEqual(await client.get(prefix + 'k'), 'value');
  assert.strictEqual(await client.get(prefix + 'none'), null);
  const pipeline = client.pipeline();
  for (let i = 0; i < 500; i++) pipeline.set(`${prefix}p${i}`, i).get(`${prefix}p${i}`);
  const results = await pipeline.exec();
  for (let i = 0; i < 500; i++) {
    assert.deepStrictEqual(results[2 * i], [null, 'OK']);
    assert.deepStrictEqual(results[2 * i + 1], [null, String(i)]);
  }
  const found = new Set();
  for await (const keys of client.scanStream({ match: prefix + 'p*', count: 100 }))
    for (const key of keys) {
      assert(!found.has(key), `${key} twice`);
      found.add(key);
    }
  assert.strictEqual(found.size, 500);
  await assert.rejects(client.incr(prefix + 'k'), /ERR value is not an integer or out of range/);
  await assert.rejects(client.call('NOSUCH', 'x'), /ERR unknown command 'NOSUCH'/);
  if (store === 'redis') {
    await client.del(prefix + 'h');
    await client.hset(prefix + 'h', { one: '1', two: '2' });
    assert.deepStrictEqual({ ...(await client.hgetall(prefix + 'h')) }, { one: '1', two: '2' });
    const replies = await client.multi().set(prefix + 't', 1).incr(prefix + 't').get(prefix + 't').exec();
    assert.deepStrictEqual(replies, [[null, 'OK'], [null, 2], [null, '2']]);
  }
  await reconnects(() => client.set(prefix + 'k', 'again'));
  assert.strictEqual(await client.get(prefix + 'k'), 'again');
  await client.quit();
  console.log(`ioredis ${version}`);
}

main().catch((error) => { console.error(error); process.exit(1); });
