// @ts-check
// The strongest paths of a graph in the picture, and whether the picture tells its story.

/** @import { Edge, GraphData, GraphNode, State } from './types' */

/**
 * What stands in the picture for the nodes of the strongest paths.
 *
 * @param {GraphData} data
 * @param {Map<string, GraphNode>} homes
 */
export function idsOnPaths({ paths }, homes) {
  const found = paths.flatMap(({ nodes }) => nodes.map((id) => homes.get(id)))
  return new Set(found.flatMap((node) => (node ? [node.id] : [])))
}

/**
 * The edges of the strongest paths, as far as the picture has them.
 *
 * @param {State} state
 * @returns {Edge[]}
 */
export function edgesOfPaths({ data, homes, picture }) {
  const pairs = new Set(
    data.paths.flatMap(({ nodes }) =>
      nodes.slice(1).map((id, step) => `${homes.get(nodes[step])?.id} ${homes.get(id)?.id}`),
    ),
  )
  return picture.listed.filter(({ from, to }) => pairs.has(`${from.id} ${to.id}`))
}

/** Tell whether the picture tells the graph's story: nothing else is selected. @param {State} state */
export function tellsStory({ data, selected, homes, way }) {
  if (!data.story || way) return false
  return selected === null || selected === homes.get(data.story.output)?.id
}
