// Appends events with Emmett's PostgreSQL event store: one stream for each of IN_FLIGHT clients, who append one
// event at a time at the version they know, with nothing read before. For each line on standard input it
// does one round of that many appends, and prints what they took as a line of JSON.
import { createInterface } from 'node:readline';
import { getPostgreSQLEventStore } from '@event-driven-io/emmett-postgresql';

const inFlight = Number(process.env.IN_FLIGHT);
const body = 'x'.repeat(Number(process.env.BODY_BYTES));
const store = getPostgreSQLEventStore(process.env.DATABASE_URL);
await store.schema.migrate();
const streams = Array.from({ length: inFlight }, () => ({ name: `patient-${crypto.randomUUID()}`, version: 0n }));

async function round(appends) {
  let left = appends;
  const milliseconds = [];
  const begin = performance.now();
  await Promise.all(streams.map(async (stream) => {
    while (left-- > 0) {
      const asked = performance.now();
      const event = { type: 'PatientContactsEdited', data: { body }, metadata: {} };
      const done = await store.appendToStream(stream.name, [event], {
        expectedStreamVersion: stream.version === 0n ? 'STREAM_DOES_NOT_EXIST' : stream.version,
      });
      stream.version = done.nextExpectedStreamVersion;
      milliseconds.push(performance.now() - asked);
    }
  }));
  return { rate: (appends * 1000) / (performance.now() - begin), milliseconds };
}

for await (const line of createInterface({ input: process.stdin })) {
  console.log(JSON.stringify(await round(Number(line))));
}
await store.close();
