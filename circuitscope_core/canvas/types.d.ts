/** The values that the canvas works with. */

export * from './graph_data'

import type { GraphData, GraphNode, Point, RawPicture } from './graph_data'

export type View = 'full' | 'groups' | 'pinned'
export type Tab = 'card' | 'links' | 'heads' | 'intervene' | 'table'
export type LinkType = 'both' | 'input' | 'output'
/** Measured and predicted change of a node, as shares of its activation. */
export type Change = [measured: number, predicted: number]

export interface Edge {
  from: GraphNode
  to: GraphNode
  weight: number
  share: number
  side?: 'a' | 'b' | 'both'
  size?: number
}

/** A picture whose edges hold their nodes. Dragging moves the nodes of a bent one. */
export interface Picture extends RawPicture {
  /** The edges that are drawn. */
  links: Edge[]
  /** Those and all that are only listed. */
  listed: Edge[]
  /** Edges are curves and nodes are tiles. */
  bent: boolean
}

export interface Filter {
  errors: boolean
  /** Features that fire on a larger share of tokens are hidden. */
  density: number
}

/** What an edit by hand will select and open, once the page has sent the edited graph. */
export interface Awaited {
  view: View
  selected: string | null
}

/** Everything that decides what is shown. Reducers return a new one and change none. */
export interface State {
  data: GraphData
  /** The data as it came, to tell whether it is new. */
  text: string
  /** The number of the opening that was applied last; null before the first. */
  serial: number | undefined | null
  labels: Map<string, string>
  changes: Map<string, Change>
  canUndo: boolean
  canRedo: boolean
  /** Scores of what is pinned, as text; empty where the page gives none. */
  pinnedScores: string
  dark: boolean

  view: View
  tab: Tab
  stripOpen: boolean
  /** The story's outcomes are shown. */
  checked: boolean
  selected: string | null
  hovered: string | null
  pinned: Set<string>
  /** Nodes chosen for a supernode; null unless nodes are being chosen. */
  chosen: Set<string> | null
  awaited: Awaited | null
  edge: Edge | null
  /** Number of the path of the overview that is shown. */
  path: number | null
  way: GraphNode[] | null
  linkType: LinkType
  filter: Filter
  words: string
  /** Where tiles were dragged to, by `placeName`. */
  places: Map<string, Point>

  picture: Picture
  byId: Map<string, GraphNode>
  /** What stands for a node in the picture: itself or its supernode. */
  homes: Map<string, GraphNode>
  visible: Edge[]
  /** Signed share of the link with the selected node. */
  links: Map<string, number>
  /** Nodes that the search found; null without a search. */
  matches: Set<string> | null
  /** Ids of the nodes on the strongest paths. */
  onPaths: Set<string>
}

/** What the page wants selected, pinned and shown. */
export interface Opening {
  serial?: number
  selected?: string | null
  pinned?: string[]
  places?: [name: string, x: number, y: number][]
  view?: View
  tab?: Tab
}

/** What the page tells beside the graph. */
export type Told = Pick<State, 'canUndo' | 'canRedo' | 'pinnedScores'>

export type Action =
  | { type: 'theme'; dark: boolean }
  | { type: 'changes'; changes: Map<string, Change> }
  | { type: 'told'; told: Told }
  | { type: 'tab'; tab: Tab }
  | { type: 'strip'; open: boolean }
  | { type: 'check'; on: boolean }
  | { type: 'receive'; text: string; data: GraphData; opening: Opening }
  | { type: 'open'; view: View }
  | { type: 'select'; id: string | null }
  | { type: 'hover'; id: string | null }
  | { type: 'pin'; id: string }
  | { type: 'explain'; edge: Edge }
  | { type: 'path'; number: number | null }
  | { type: 'way'; way: GraphNode[] | null }
  | { type: 'search'; words: string }
  | { type: 'filter'; change: Partial<Filter> }
  | { type: 'linkType'; linkType: LinkType }
  | { type: 'move'; name: string; place: Point }
  | { type: 'grouping'; on: boolean }
  | { type: 'choose'; id: string }
  | { type: 'group'; members: string[] }

/** What the canvas tells the page. */
export type CanvasEvent = { event: string; [field: string]: unknown }

export interface Options {
  /** When the wheel zooms: always, or after a click. */
  wheel: 'always' | 'focus'
  themeButton?: boolean
  /** The page answers questions about edges. */
  explain?: boolean
  /** The page answers edits of supernodes and labels. */
  edit?: boolean
  /** Goes so many steps on in a walk-through, where the page itself has its steps. */
  walk?: (by: number) => void
  /** Takes the last few events, the latest last. */
  emit?: (events: CanvasEvent[]) => void
}

/** A step of a walk-through. */
export interface Walk {
  caption: string
  number: number
  total: number
}

/** What the page passes at each update. */
export interface Arguments {
  text: string
  dark: boolean
  height?: number
  opening?: Opening
  canUndo?: boolean
  canRedo?: boolean
  pinnedScores?: string
  walk?: Walk | null
  /** Width of the column beside the graph, in pixels. */
  side?: number
  changes?: Record<string, Change>
}

export interface Viewport {
  scale: number
  position: Point
}

/** The elements around the drawing area. */
export interface Ui {
  root: HTMLElement
  box: HTMLElement
  /** The buttons and the story, over the drawing area. */
  top: HTMLElement
  bar: HTMLElement
  story: HTMLElement
  main: HTMLElement
  net: HTMLElement
  empty: HTMLElement
  status: HTMLElement
  strip: HTMLElement
  grip: HTMLElement
  side: HTMLElement
  tabs: HTMLElement
  panel: HTMLElement
  legend: HTMLElement
  live: HTMLElement
}

/** The box of what is shown, and its lines that are not always there. */
export interface FilterBox {
  filter: HTMLDetailsElement
  hidden: HTMLElement
  errors: HTMLElement
  words: HTMLElement
}

export interface Toolbar extends FilterBox {
  views: HTMLElement
  viewButtons: Record<View, HTMLButtonElement>
  found: HTMLElement
  tour: HTMLButtonElement
  /** Absent where the page does not answer edits. */
  editing: Record<'group' | 'make' | 'undo' | 'redo', HTMLButtonElement> | null
}

/** One mounted canvas: what its functions are passed. */
export interface Canvas {
  ui: Ui
  toolbar: Toolbar
  tabs: Map<Tab, HTMLButtonElement>
  strip: {
    toggle: HTMLElement
    said: HTMLElement
    stage: HTMLElement
    surface: HTMLCanvasElement
    shown: import('./strip.js').StripPicture | null
  }
  minimap: HTMLCanvasElement
  options: Options
  state: State
  /** Replaces the state by what an action makes of it, and draws what that changes. */
  dispatch: (action: Action, viewport?: Viewport | null) => void
  network: import('./vis').Network | null
  /** The person zoomed or moved the view, which then no longer follows the frame's size. */
  touched: boolean
  /** The last few events that went to the page. */
  recent: CanvasEvent[]
  click: (parameters: import('./vis').ClickParameters) => void
  startTour: () => void
  showWalk: (walk: Walk | null) => void
  /** The width of the column that the page asked for last. */
  side?: number
}

export interface Theme {
  paper: string
  band: string
  edge_band: string
  hairline: string
  ink: string
  text: string
  dim: string
  ghost: string
  focus: string
  accent: string
  tile: string
  tile_line: string
}

/** How things are painted: colours, and how much text grows to stay readable. */
export interface Look {
  theme: Theme
  dark: boolean
  big: number
}

/** What sets a node off from the others. */
export interface Marks {
  /** Signed share of its link with the selected node. */
  link: number | null
  faint: boolean
  focused: boolean
  hovered: boolean
  pinned: boolean
  /** The hovered feature at another token. */
  twin: boolean
  chosen: boolean
  change: Change | null
}

/** What painting needs: a canvas's context, or the one that writes SVG. */
export type Surface = Pick<
  CanvasRenderingContext2D,
  | 'arc'
  | 'beginPath'
  | 'bezierCurveTo'
  | 'closePath'
  | 'fill'
  | 'fillRect'
  | 'fillStyle'
  | 'fillText'
  | 'font'
  | 'globalAlpha'
  | 'lineJoin'
  | 'lineTo'
  | 'lineWidth'
  | 'measureText'
  | 'moveTo'
  | 'rect'
  | 'restore'
  | 'rotate'
  | 'roundRect'
  | 'save'
  | 'setLineDash'
  | 'stroke'
  | 'strokeStyle'
  | 'strokeText'
  | 'textAlign'
  | 'textBaseline'
  | 'translate'
>

/** A component of a page, as its host sees it. */
export interface Part<Data> {
  /** Draws anew and returns the height that is needed. */
  update(data: Data, dark: boolean): number
  destroy(): void
}

export type MakePart<Data> = (
  root: HTMLElement,
  data: Data,
  emit: (events: CanvasEvent[]) => void,
) => Part<Data>
