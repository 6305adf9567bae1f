//! Plots as SVG, by hand: the same numbers give the same bytes.

use std::fmt::Write;

pub(crate) const COLOURS: [&str; 6] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"];
const WIDTH: f64 = 860.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 200.0;
const TOP: f64 = 48.0;

/// A drawing of this height.
pub(crate) struct Plot {
    body: String,
    height: f64,
}

/// One panel: where it lies, and what its axes stand for.
pub(crate) struct Panel {
    pub(crate) top: f64,
    pub(crate) height: f64,
    pub(crate) x: (f64, f64),
    pub(crate) y: (f64, f64),
    /// Powers of ten from end to end.
    pub(crate) logarithmic: (bool, bool),
}

impl Panel {
    fn place(value: f64, (from, to): (f64, f64), logarithmic: bool) -> f64 {
        let scale = |value: f64| if logarithmic { value.max(1e-12).log10() } else { value };
        ((scale(value) - scale(from)) / (scale(to) - scale(from))).clamp(0.0, 1.0)
    }

    fn left(&self, x: f64) -> f64 {
        LEFT + Self::place(x, self.x, self.logarithmic.0) * (WIDTH - LEFT - RIGHT)
    }

    fn top(&self, y: f64) -> f64 {
        self.top + (1.0 - Self::place(y, self.y, self.logarithmic.1)) * self.height
    }
}

/// Where the first panel begins.
pub(crate) const FIRST: f64 = TOP;

impl Plot {
    pub(crate) fn new(title: &str, height: f64) -> Self {
        let mut body = String::new();
        writeln!(body, "<text x=\"{LEFT}\" y=\"24\" font-size=\"16\" font-weight=\"bold\">{title}</text>").unwrap();
        Self { body, height }
    }

    pub(crate) fn text(&mut self, x: f64, y: f64, anchor: &str, text: &str) {
        writeln!(self.body, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{text}</text>").unwrap();
    }

    fn line(&mut self, from: (f64, f64), to: (f64, f64), colour: &str) {
        let ((x1, y1), (x2, y2)) = (from, to);
        writeln!(self.body, "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"{colour}\"/>").unwrap();
    }

    fn rectangle(&mut self, (x, y): (f64, f64), (width, height): (f64, f64), fill: &str) {
        writeln!(self.body, "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" fill=\"{fill}\"/>").unwrap();
    }

    /// Axes, with these ticks and what they are called.
    pub(crate) fn axes(&mut self, panel: &Panel, label: &str, x: &[(f64, String)], y: &[(f64, String)]) {
        for (value, name) in y {
            let at = panel.top(*value);
            self.line((LEFT, at), (WIDTH - RIGHT, at), "#ddd");
            self.text(LEFT - 6.0, at + 4.0, "end", name);
        }
        let bottom = panel.top + panel.height;
        for (value, name) in x {
            let at = panel.left(*value);
            self.line((at, bottom), (at, bottom + 4.0), "#333");
            self.text(at, bottom + 18.0, "middle", name);
        }
        self.line((LEFT, bottom), (WIDTH - RIGHT, bottom), "#333");
        self.text(LEFT, panel.top - 8.0, "start", label);
    }

    /// Shades a part of the panel.
    pub(crate) fn shade(&mut self, panel: &Panel, from: f64, to: f64) {
        let (left, right) = (panel.left(from), panel.left(to));
        self.rectangle((left, panel.top), (right - left, panel.height), "#f4e3e3");
    }

    pub(crate) fn curve(&mut self, panel: &Panel, points: &[(f64, f64)], colour: &str, dots: bool) {
        let places: Vec<_> = points.iter().map(|(x, y)| (panel.left(*x), panel.top(*y))).collect();
        let path: Vec<_> = places.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
        writeln!(self.body, "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.6\"/>", path.join(" ")).unwrap();
        for (x, y) in places.iter().filter(|_| dots) {
            writeln!(self.body, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.5\" fill=\"{colour}\"/>").unwrap();
        }
    }

    /// A name beside a point of the panel.
    pub(crate) fn name(&mut self, panel: &Panel, (x, y): (f64, f64), name: &str) {
        self.text(panel.left(x) + 6.0, panel.top(y) - 6.0, "start", name);
    }

    /// A bar from one value to another, in this row of so many.
    pub(crate) fn bar(&mut self, panel: &Panel, (row, rows): (usize, usize), from: f64, to: f64, colour: &str) {
        let height = panel.height / rows as f64;
        let (left, right) = (panel.left(from), panel.left(to));
        self.rectangle((left, panel.top + height * row as f64 + 4.0), (right - left, height - 8.0), colour);
    }

    pub(crate) fn legend(&mut self, row: usize, colour: &str, name: &str) {
        let y = TOP + 20.0 * row as f64;
        self.rectangle((WIDTH - RIGHT + 16.0, y), (14.0, 10.0), colour);
        self.text(WIDTH - RIGHT + 36.0, y + 9.0, "start", name);
    }

    pub(crate) fn svg(self) -> String {
        let Self { body, height } = self;
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" \
             font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n{body}</svg>\n"
        )
    }
}
