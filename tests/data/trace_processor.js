// Asks Perfetto's trace processor (WASM) about a trace: node trace_processor.js trace_processor.wasm trace.json "select ..." ...
// Prints one line of JSON for each query: a list of rows. Speaks TraceProcessorRpc (perfetto/trace_processor.proto) with it.
"use strict";
const fs = require("fs");

const [wasmPath, tracePath, ...queries] = process.argv.slice(2);
const REQUEST_BYTES = 1 << 20;
const SEQUENCE = 1, METHOD = 2, FATAL_ERROR = 5, TRACE_DATA = 101, QUERY_ARGUMENTS = 103; // fields of a request or its reply
const APPEND = 1, FINALIZE = 2, QUERY = 3; // methods

let memory, replies = [];
const view = () => new DataView(memory.buffer);

// What the WASM wants of a system: a clock, memory that grows, and a console. Files are not used: the rest does nothing.
const own = {
  emscripten_get_now: () => performance.now(),
  emscripten_date_now: () => Date.now(),
  emscripten_get_heap_max: () => 2 ** 32 - 65536,
  emscripten_resize_heap: (bytes) => {
    try { memory.grow(Math.ceil(((bytes >>> 0) - memory.buffer.byteLength) / 65536)); return 1; } catch { return 0; }
  },
  clock_time_get: (clock, precision, at) => { view().setBigInt64(at >>> 0, process.hrtime.bigint(), true); return 0; },
  fd_write: (file, vectors, count, written) => {
    let total = 0;
    for (let i = 0; i < count; i++) {
      const start = view().getUint32((vectors >>> 0) + 8 * i, true), size = view().getUint32((vectors >>> 0) + 8 * i + 4, true);
      fs.writeSync(2, Buffer.from(memory.buffer, start, size));
      total += size;
    }
    view().setUint32(written >>> 0, total, true);
    return 0;
  },
  environ_sizes_get: (count, size) => { view().setUint32(count >>> 0, 0, true); view().setUint32(size >>> 0, 0, true); return 0; },
  _abort_js: () => { throw new Error("abort"); },
  __assert_fail: () => { throw new Error("assertion"); },
};
const wasm = new WebAssembly.Module(fs.readFileSync(wasmPath));
const imports = {};
for (const { module, name } of WebAssembly.Module.imports(wasm)) {
  (imports[module] ??= {})[name] = own[name] ?? (() => 0);
}
const exported = new WebAssembly.Instance(wasm, imports).exports;
memory = exported.memory;
exported.emscripten_stack_init();
exported.__wasm_call_ctors();

// A function of ours in the WASM's table needs a WASM type: a module that imports it, (i32, i32) -> (), and exports it again.
const shim = new WebAssembly.Module(Uint8Array.of(
  0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, 1, 6, 1, 0x60, 2, 0x7f, 0x7f, 0, 2, 7, 1, 1, 0x65, 1, 0x66, 0, 0, 7, 5, 1, 1, 0x66, 0, 0));
const onReply = (start, size) => replies.push(Buffer.from(memory.buffer.slice(start >>> 0, (start >>> 0) + size)));
const table = exported.__indirect_function_table;
const slot = table.grow(1);
table.set(slot, new WebAssembly.Instance(shim, { e: { f: onReply } }).exports.f);
const requestAt = exported.trace_processor_rpc_init(slot, REQUEST_BYTES) >>> 0;

// Protocol buffers, as far as they are needed.
function varint(value) {
  const bytes = [];
  for (let rest = BigInt(value); ; ) {
    const low = Number(rest & 127n);
    rest >>= 7n;
    bytes.push(rest ? low | 128 : low);
    if (!rest) return Buffer.from(bytes);
  }
}
const number = (field, value) => Buffer.concat([varint(field << 3), varint(value)]);
const bytes = (field, data) => Buffer.concat([varint((field << 3) | 2), varint(data.length), data]);

function readVarint(data, at) {
  let value = 0n, shift = 0n, byte;
  do { byte = data[at++]; value |= BigInt(byte & 127) << shift; shift += 7n; } while (byte & 128);
  return [value, at];
}
function* fields(data) {
  for (let at = 0; at < data.length; ) {
    let key, value;
    [key, at] = readVarint(data, at);
    if ((key & 7n) === 0n) [value, at] = readVarint(data, at);
    else if ((key & 7n) === 2n) { let size; [size, at] = readVarint(data, at); value = data.subarray(at, at += Number(size)); }
    else if ((key & 7n) === 1n) { value = data.subarray(at, at += 8); }
    else throw new Error(`wire type ${key & 7n}`);
    yield [Number(key >> 3n), value];
  }
}

let sequence = 0;
function call(method, ...arguments_) {
  replies = [];
  const message = bytes(1, Buffer.concat([number(SEQUENCE, sequence++), number(METHOD, method), ...arguments_]));
  for (let at = 0; at < message.length; at += REQUEST_BYTES) {
    const piece = message.subarray(at, at + REQUEST_BYTES);
    piece.copy(Buffer.from(memory.buffer, requestAt, piece.length));
    exported.trace_processor_on_rpc_request(piece.length);
  }
  const answers = [];
  for (const [, answer] of fields(Buffer.concat(replies))) {
    for (const [field, value] of fields(answer)) {
      if (field === FATAL_ERROR) throw new Error(`trace processor: ${value}`);
      if (field > 200) answers.push(value); // the results
    }
  }
  return answers;
}

function rowsOf(answers) {
  const columns = [], values = [];
  for (const answer of answers) {
    for (const [field, value] of fields(answer)) {
      if (field === 1) columns.push(value.toString());
      if (field === 2 && value.length) throw new Error(`query: ${value}`);
      if (field === 3) values.push(...cellsOf(value));
    }
  }
  const rows = [];
  for (let at = 0; at < values.length; at += columns.length) rows.push(values.slice(at, at + columns.length));
  return rows;
}
function cellsOf(batch) {
  let kinds = Buffer.alloc(0), whole = [], real = [], texts = [];
  for (const [field, value] of fields(batch)) {
    if (field === 1) kinds = value;
    if (field === 2) for (let at = 0, each; at < value.length; whole.push(Number(BigInt.asIntN(64, each)))) [each, at] = readVarint(value, at);
    if (field === 3) for (let at = 0; at < value.length; at += 8) real.push(value.readDoubleLE(at));
    if (field === 5) texts = value.toString().split("\0");
  }
  return Array.from(kinds, (kind) => (kind === 2 ? whole.shift() : kind === 3 ? real.shift() : kind === 4 ? texts.shift() : null));
}

function check(answers, errorField) {
  for (const answer of answers) {
    for (const [field, value] of fields(answer)) if (field === errorField && value.length) throw new Error(`trace: ${value}`);
  }
}

const trace = fs.readFileSync(tracePath);
for (let at = 0; at < trace.length; at += REQUEST_BYTES / 2) {
  check(call(APPEND, bytes(TRACE_DATA, trace.subarray(at, at + REQUEST_BYTES / 2))), 2);
}
check(call(FINALIZE), 1);
for (const sql of queries) console.log(JSON.stringify(rowsOf(call(QUERY, bytes(QUERY_ARGUMENTS, bytes(1, Buffer.from(sql)))))));
