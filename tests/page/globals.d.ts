/* What static/vendor brings into the page: a script, not a module. */

import type uPlot from "uplot";

declare global {
  interface Window {
    uPlot: typeof uPlot;
  }
}
