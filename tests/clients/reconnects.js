// Says "kill" on a line of its own, waits for a line on stdin (the server was killed and runs again), and tries the
// command until it succeeds: on the same client, which must find its way back by itself.
'use strict';
const readline = require('readline');

exports.reconnects = async function (command) {
  const lines = readline.createInterface({ input: process.stdin });
  const told = new Promise((resolve) => lines.once('line', resolve));
  console.log('kill');
  await told;
  lines.close();
  const end = Date.now() + 30000;
  for (;;) {
    try {
      return await command();
    } catch (error) {
      if (Date.now() > end) throw error;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
};
