/** The data of a graph as the page sends it; `view/graph_view.py` writes it. */

export type Kind = 'token' | 'feature' | 'error' | 'logit' | 'group'
export interface Point {
  x: number
  y: number
}

export interface GraphNode extends Point {
  id: string
  kind: Kind
  label: string
  detail: string
  layer: number
  position: number
  influence: number
  activation: number | null
  percentile: number | null
  probability: number | null
  dropped: number
  error_share: number
  card: string | null
  members: string[]
  /** A word, whose members are its tokens: drawn as one glyph. */
  folded?: boolean
  side?: '' | 'a' | 'b' | 'both'
  /** A neuron that is active above 0. */
  filled?: boolean
  side_facts?: [name: string, value: string][]
  /** Bits by which the answer moves when this feature alone is switched off. */
  ablation?: number | null
}

/**
 * Numbers of the source and the target in the list of nodes, weight, share; where two graphs are
 * compared, also which of them keeps it, and the larger of its absolute shares.
 */
export type RawEdge = [
  source: number,
  target: number,
  weight: number,
  share: number,
  side?: 'a' | 'b' | 'both',
  size?: number,
]

export interface Band {
  start: number
  end: number
  label: string
}

export interface RawPicture {
  nodes: GraphNode[]
  edges: RawEdge[]
  n_edges_left_out: number
  /** Edges that are listed but not drawn, the strongest last. */
  others: RawEdge[]
  rows: Band[]
  columns: Band[]
}

export interface Example {
  kind: 'top' | 'middle' | 'low'
  source: string
  tokens: string[]
  heat: [token: number, activation: number][]
  peak: number
  below?: boolean
}

export interface Partner {
  card: string
  layer: number
  label: string
  twera: number
}

export interface Card {
  title: string
  label: string
  by_hand: boolean
  frequency: number
  max_activation: number
  histogram: number[]
  promoted: string[]
  suppressed: string[]
  examples: Example[]
  inputs: Partner[]
  outputs: Partner[]
  label_below?: string
  frequency_below?: number
  min_activation?: number
  histogram_below?: number[]
}

export interface Fact {
  name: string
  value: string
  meaning: string
}

export interface GraphPath {
  nodes: string[]
  strength: number
  text: string
}

export interface StoryOutcome {
  token: string
  before: number
  after: number
}

/** One sentence on what made the likeliest output, and what shows it. */
export interface Story {
  text: string
  output: string
  source: string
  /** Names of the attention heads that carried edges, by the ids of their ends. */
  heads: { source: string; target: string; text: string }[]
  /** The name of the source, as it stands in a sentence. */
  switched_off: string
  /** Probabilities with the source and without it; none where that was not measured. */
  outcomes: StoryOutcome[]
}

export interface GraphData {
  story?: Story
  prompt: string
  full: RawPicture
  groups: RawPicture | null
  cards: Record<string, Card>
  paths: GraphPath[]
  facts: Fact[]
  compared?: boolean
  /** Features are neurons of the model itself, and errors the other neurons. */
  neurons?: boolean
  /** Words of several tokens, which can be folded. */
  n_words?: number
}
