// @ts-check
// What joining the modules into one script rests on: names at the top level that differ.

import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { test } from 'node:test'

const FOLDER = new URL('../../circuitscope_core/canvas/', import.meta.url)
const DECLARED = /^(?:export )?(?:const|let|class|function|async function) (\{[^}]*\}|\w+)/gm

/** @param {string} text @returns {string[]} */
function namesIn(text) {
  const found = [...text.matchAll(DECLARED)].map((match) => match[1])
  return found.flatMap((names) => names.match(/\w+(?=\s*(?:,|\}|$))/g) || [])
}

test('no two modules declare the same name', () => {
  /** @type {Map<string, string>} */
  const homes = new Map()
  const twice = []
  for (const file of readdirSync(FOLDER).filter((name) => name.endsWith('.js'))) {
    for (const name of namesIn(readFileSync(new URL(file, FOLDER), 'utf8'))) {
      if (homes.has(name)) twice.push(`${name} in ${homes.get(name)} and ${file}`)
      homes.set(name, file)
    }
  }
  assert.deepEqual(twice, [])
  assert.ok(homes.size > 100)
})

test('names are found, also where several are taken out of a value', () => {
  assert.deepEqual(namesIn('const { a: b, c } = x\nexport function d() {\n  const e = 1\n}'), [
    'b',
    'c',
    'd',
  ])
})
