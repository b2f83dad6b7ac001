//! Pictures of the figures: bars, one panel a workload, one file a group of workloads.

use std::error::Error;
use std::fs;
use std::path::Path;

use plotters::backend::{DrawingBackend, SVGBackend};
use plotters::coord::Shift;
use plotters::drawing::{DrawingArea, IntoDrawingArea};
use plotters::element::{Rectangle, Text};
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, IntoTextStyle, RGBColor, TextStyle, WHITE};

use super::{Contender, Figures, Row, Unit};

/// Panels of one kind: one file.
struct Picture {
    name: &'static str,
    title: &'static str,
    /// What each shows, and its title.
    panels: [(&'static str, &'static str); 4],
}

const PICTURES: [Picture; 4] = [
    Picture {
        name: "unary",
        title: "512-byte echo, requests per second",
        panels: [
            ("unary-1", "1 caller"),
            ("unary-16", "16 callers"),
            ("unary-64", "64 callers"),
            ("unary-256", "256 callers"),
        ],
    },
    Picture {
        name: "streams",
        title: "Streams of ten items, items per second",
        panels: [
            ("server-stream-2", "from the handler, 2 streams"),
            ("server-stream-64", "from the handler, 64 streams"),
            ("client-stream-64", "from the caller, 64 streams"),
            ("two-way-64", "back and forth one by one, 64 streams"),
        ],
    },
    Picture {
        name: "large",
        title: "1 MiB echo",
        panels: [
            ("large-1", "1 caller, requests per second"),
            ("large-4", "4 callers, requests per second"),
            ("p50-small-alone", "median latency of a 100-byte echo, µs"),
            ("p50-small-beside-large", "the same beside 4 callers of 1 MiB, µs"),
        ],
    },
    Picture {
        name: "latency",
        title: "512-byte echo, latency in µs",
        panels: [
            ("p50-unary-1", "1 caller, median"),
            ("p99-unary-1", "1 caller, 99th percentile"),
            ("p50-unary-64", "64 callers, median"),
            ("p99-unary-64", "64 callers, 99th percentile"),
        ],
    },
];

const WIDTH: i32 = 760;
const MARGIN: i32 = 16;
const HEADER: i32 = 44;
/// Above the bars of a panel, its title.
const TITLE: i32 = 26;
const BAR: i32 = 18;
/// Between a bar and the next.
const PITCH: i32 = 23;
const NAMES: i32 = 108;
const VALUES: i32 = 70;

const OURS: RGBColor = RGBColor(0x1f, 0x6f, 0xb4);
const LIMIT: RGBColor = RGBColor(0x9a, 0xa5, 0xb1);
const PEERS: RGBColor = RGBColor(0xd9, 0x8c, 0x3f);
const INK: RGBColor = RGBColor(0x22, 0x2a, 0x33);

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Writes the pictures of which anything was measured into a directory that exists.
///
/// # Errors
///
/// If a file cannot be written.
pub fn write(figures: &Figures, directory: &Path) -> Result<()> {
    for picture in &PICTURES {
        if let Some(svg) = picture.draw(figures)? {
            fs::write(directory.join(picture.name).with_extension("svg"), svg)?;
        }
    }
    Ok(())
}

impl Picture {
    /// As SVG, two panels in a line; `None` if nothing of it was measured.
    fn draw(&self, figures: &Figures) -> Result<Option<String>> {
        let panels = self.panels.iter();
        let panels: Vec<_> =
            panels.filter_map(|(key, title)| Some((*title, figures.row(key)?))).collect();
        let bars = panels.iter().map(|(_, row)| row.medians().count() as i32);
        let Some(bars) = bars.max() else { return Ok(None) };
        let panel = TITLE + bars * PITCH + MARGIN;
        let lines = panels.len().div_ceil(2) as i32;
        let size = (WIDTH as u32, (HEADER + lines * panel) as u32);
        let mut svg = String::new();
        {
            let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
            area.fill(&WHITE)?;
            area.draw(&Text::new(self.title, (MARGIN, 14), style(22).color(&INK)))?;
            for (index, (title, row)) in panels.iter().enumerate() {
                let left = MARGIN + (index as i32 % 2) * (WIDTH / 2);
                draw_panel(&area, (left, HEADER + (index as i32 / 2) * panel), title, row)?;
            }
            area.present()?;
        }
        Ok(Some(svg))
    }
}

fn draw_panel<DB: DrawingBackend>(
    area: &DrawingArea<DB, Shift>,
    (left, top): (i32, i32),
    title: &str,
    row: &Row,
) -> Result<()>
where
    DB::ErrorType: 'static,
{
    area.draw(&Text::new(title.to_owned(), (left, top), style(17).color(&INK)))?;
    let longest = row.medians().map(|(_, value)| value).fold(f64::MIN_POSITIVE, f64::max);
    let room = f64::from(WIDTH / 2 - 2 * MARGIN - NAMES - VALUES);
    for (index, (contender, value)) in row.medians().enumerate() {
        let y = top + TITLE + index as i32 * PITCH;
        let start = left + NAMES;
        let end = start + (value / longest * room).round().max(1.0) as i32;
        let middle = y + BAR / 2;
        let name = style(15).color(&INK).pos(Pos::new(HPos::Right, VPos::Center));
        area.draw(&Text::new(known_as(contender), (start - 6, middle), name))?;
        area.draw(&Rectangle::new([(start, y), (end, y + BAR)], color(contender).filled()))?;
        let text = style(15).color(&INK).pos(Pos::new(HPos::Left, VPos::Center));
        area.draw(&Text::new(label(value, row.unit), (end + 6, middle), text))?;
    }
    Ok(())
}

fn style(size: i32) -> TextStyle<'static> {
    ("sans-serif", size).into_text_style(&(WIDTH as u32, WIDTH as u32))
}

/// What a reader of the README knows it as.
const fn known_as(contender: Contender) -> &'static str {
    match contender {
        Contender::Ours => "gridmux",
        Contender::OursInline => "gridmux, inline",
        Contender::Smol => "gridmux, smol",
        Contender::Raw => "raw TCP, inline",
        Contender::RawTasks => "raw TCP",
        Contender::Tonic => "tonic",
        Contender::Tarpc => "tarpc",
        Contender::Yamux => "yamux",
    }
}

const fn color(contender: Contender) -> RGBColor {
    match contender {
        Contender::Ours | Contender::OursInline | Contender::Smol => OURS,
        Contender::Raw | Contender::RawTasks => LIMIT,
        Contender::Tonic | Contender::Tarpc | Contender::Yamux => PEERS,
    }
}

/// Three digits are all that a measurement is worth.
fn label(value: f64, unit: Unit) -> String {
    match value {
        _ if unit == Unit::Micros && value < 100.0 => format!("{value:.1}"),
        10_000.0.. => format!("{:.0} k", value / 1000.0),
        1000.0.. => format!("{:.1} k", value / 1000.0),
        _ => format!("{value:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_has_a_bar_and_a_value_for_each_system() {
        let mut figures = Figures::default();
        figures.add("unary-64".into(), Unit::PerSecond, Contender::Ours, 330_000.0);
        figures.add("unary-64".into(), Unit::PerSecond, Contender::Raw, 660_000.0);
        let picture = Picture { title: "<echo>", ..PICTURES[0] };
        let svg = picture.draw(&figures).unwrap().unwrap();
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"), "{svg}");
        for text in ["330 k", "660 k", "gridmux", "raw TCP, inline", "&lt;echo&gt;"] {
            assert!(svg.contains(text), "{text}: {svg}");
        }
        // The background and two bars, the one half as long as the other.
        let widths = svg.split("<rect ").skip(1).map(|rect| {
            let width = rect.split("width=\"").nth(1).unwrap();
            width.split('"').next().unwrap().parse::<i32>().unwrap()
        });
        let widths: Vec<_> = widths.collect();
        assert_eq!(widths.len(), 3, "{svg}");
        assert!((widths[2] - 2 * widths[1]).abs() <= 1, "{widths:?}");
    }

    #[test]
    fn nothing_measured_is_no_picture() {
        assert_eq!(PICTURES[0].draw(&Figures::default()).unwrap(), None);
    }

    #[test]
    fn labels_are_short() {
        let label = |value| label(value, Unit::PerSecond);
        assert_eq!([label(331_400.0), label(1_940.0), label(12.3)], ["331 k", "1.9 k", "12"]);
        assert_eq!(super::label(8.46, Unit::Micros), "8.5");
    }
}
