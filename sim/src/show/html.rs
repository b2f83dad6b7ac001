//! A run as a page that any browser opens, without a network.

use serde::Serialize;
use serde_json::{Value, json};

use super::Shown;
use super::cause::chain;
use super::credit::gauges;
use super::text::show_flags;
use super::view::{Frame, MuxKey, View};
use crate::trace::Brief;
use crate::world::End;

/// A page with a lane for each node, an arrow for each frame, bars for calls and handlers, and
/// everything that went wrong. All of its data, style and code are inside.
///
/// What is shown can be chosen in the page or behind the `#` of its address, in the form of a
/// query: `call=` with the name of a call or the number of a mux, `pair=0-1` with two nodes, and
/// `from=` and `to=` in simulated nanoseconds.
pub fn html(shown: &Shown<'_>) -> String {
    let title = format!("gridmux-sim seed {}", shown.script.seed);
    let data = data(shown, &View::new(shown)).to_string();
    // No text in it can end the element that it stands in.
    let data = data.replace('<', "\\u003c");
    let mut page = String::with_capacity(data.len() + (64 << 10));
    let mut rest = include_str!("page/page.html");
    while let Some((before, after)) = rest.split_once("{{") {
        let (hole, after) = after.split_once("}}").unwrap_or((after, ""));
        page.push_str(before);
        page.push_str(match hole {
            "title" => &title,
            "style" => include_str!("page/page.css"),
            "data" => &data,
            "code" => include_str!("page/page.js"),
            _ => unreachable!("the template has a hole of another name: {hole}"),
        });
        rest = after;
    }
    page + rest
}

/// A frame: connection, from, to, sent, arrived, bytes, number and messages.
#[derive(Serialize)]
struct FrameRow<'a>(u32, usize, usize, u64, Option<u64>, u64, u64, Vec<MessageRow<'a>>);

/// A message: op, mux, 1 if the acceptor calls, seq, flags, handler and payload. The mux is text:
/// a script of the page has no whole numbers over 2^53.
#[derive(Serialize)]
struct MessageRow<'a>(&'a str, String, u8, u32, String, u8, u32);

fn frame_row<'a>(frame: &Frame<'a>) -> FrameRow<'a> {
    let message = |message: &'a Brief| {
        let side = MuxKey::of(frame, message).map_or(0, |mux| side(mux.caller));
        let flags = show_flags(message.flags);
        let (op, mux, seq) = (message.op, message.mux.to_string(), message.seq);
        MessageRow(op, mux, side, seq, flags, message.handler, message.payload)
    };
    let messages = frame.messages.iter().map(message).collect();
    let Frame { conn, from, to, sent, arrived, bytes, number, .. } = *frame;
    FrameRow(conn.0, from, to, sent, arrived, bytes, number, messages)
}

fn side(end: End) -> u8 {
    u8::from(end == End::Acceptor)
}

/// Everything that the page shows; `page.js` says by which names it reads it.
fn data(shown: &Shown<'_>, view: &View<'_>) -> Value {
    let names: Vec<&str> = shown.played.calls().map(|call| call.name.as_str()).collect();
    let calls = view.calls.iter().map(|issued| {
        let mux = issued.mux.map(|mux| json!([mux.conn.0, mux.id.to_string(), side(mux.caller)]));
        json!({
            "id": issued.id, "name": issued.call.name, "route": issued.call.route.word(),
            "from": issued.call.from, "to": issued.call.to, "since": issued.since,
            "over": issued.over, "mux": mux,
        })
    });
    let handlers = view.handlers.iter().map(|served| {
        json!({
            "id": served.call, "name": names[served.call], "node": served.node,
            "since": served.since, "over": served.over,
        })
    });
    let conns = view.conns.iter().map(|conn| {
        json!({
            "id": conn.id.0, "nodes": conn.nodes, "since": conn.since,
            "over": view.conn_over(conn), "ended": conn.ended,
        })
    });
    let faults = view.faults.iter().map(|fault| {
        json!({
            "at": fault.at, "row": fault.row, "text": fault.text, "kind": fault.kind,
            "nodes": fault.nodes, "lasts": fault.lasts,
        })
    });
    let failures = shown.outcome.failures.iter().map(|failure| {
        let chain = chain(view, failure);
        json!({
            "at": failure.at, "oracle": failure.oracle.to_string(), "rule": failure.rule,
            "detail": failure.detail, "call": failure.call,
            "frames": chain.frames, "conns": chain.conns, "faults": chain.faults,
        })
    });
    let gauges = gauges(view).into_iter().map(
        |gauge| json!({ "id": gauge.call, "capacities": gauge.capacities, "steps": gauge.steps }),
    );
    json!({
        "seed": shown.script.seed.to_string(),
        "script": shown.script.to_string(),
        "nodes": shown.trace.nodes,
        "end": view.end,
        "phases": view.phases,
        "dead": view.dead,
        "calls": calls.collect::<Vec<_>>(),
        "handlers": handlers.collect::<Vec<_>>(),
        "conns": conns.collect::<Vec<_>>(),
        "faults": faults.collect::<Vec<_>>(),
        "failures": failures.collect::<Vec<_>>(),
        "gauges": gauges.collect::<Vec<_>>(),
        "frames": view.frames.iter().map(frame_row).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::process::Command;
    use std::{env, fs, process};

    use super::{View, data, html};
    use crate::show::sample::{Late, Sample};
    use crate::world::End;

    #[test]
    fn a_page_is_whole_and_no_text_of_a_run_ends_its_data() {
        let page = html(&Sample::new().shown());
        assert!(!page.contains("{{") && !page.contains("}}"));
        assert_eq!(page.matches("</script>").count(), 2);
        assert!(!page.contains("<nothing>") && page.contains("\\u003cnothing>"));
        for outside in ["src=", "href=", "@import", "url(", "fetch("] {
            assert!(!page.contains(outside), "the page needs nothing from outside: {outside}");
        }
    }

    #[test]
    fn a_page_has_handlers_at_their_nodes_the_callers_results_and_the_script_without_probes() {
        let late = Late::new();
        let shown = late.shown();
        let data = data(&shown, &View::new(&shown));
        let of = |what: &str| {
            let all = data[what].as_array().unwrap();
            all.iter().find(|one| one["name"] == "late").unwrap_or_else(|| panic!("{what}"))
        };
        assert_eq!(of("calls")["over"][1], "deadline exceeded");
        assert_eq!(
            (&of("handlers")["node"], &of("handlers")["over"][1]),
            (&1.into(), &"ok".into())
        );
        assert_eq!(data["script"], shown.script.to_string());
        assert_ne!(shown.script, shown.played);
    }

    #[test]
    fn a_page_of_ten_thousand_frames_stays_below_two_megabytes() {
        let mut sample = Sample::new();
        let (frames, at) = (10_000, 70_000_000);
        let message = Sample::item(7);
        for number in 0..frames {
            let messages = vec![message.clone()];
            sample.frame(at + number * 9_999_999, End::Dialler, 100 + number, messages, true);
        }
        let size = html(&sample.shown()).len();
        assert!(size < 2 << 20, "{size}");
    }

    /// A browser to look at a page with, by the names that it has in various systems.
    fn browser() -> Option<PathBuf> {
        let path = env::var_os("PATH")?;
        let names = ["chromium", "chromium-browser", "google-chrome"];
        let dirs: Vec<_> = env::split_paths(&path).collect();
        let mut all = names.iter().flat_map(|name| dirs.iter().map(move |dir| dir.join(name)));
        all.find(|file| file.is_file())
    }

    /// The chart as a browser has drawn it, for each of the ends of the page's address.
    fn drawn<const N: usize>(browser: PathBuf, page: &str, fragments: [&str; N]) -> [String; N] {
        let dir = env::temp_dir().join(format!("gridmux-sim-show-{}-{N}", process::id()));
        fs::create_dir_all(&dir).unwrap();
        let file = dir.join("run.html");
        fs::write(&file, page).unwrap();
        let charts = fragments.map(|fragment| {
            let output = Command::new(&browser)
                .args(["--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"])
                .args(["--window-size=1400,900", "--virtual-time-budget=2000"])
                .arg(format!("--user-data-dir={}", dir.join("profile").display()))
                .arg(format!("file://{}#{fragment}", file.display()))
                .output()
                .unwrap();
            let dom = String::from_utf8(output.stdout).unwrap();
            let chart =
                dom.split_once("<svg id=\"chart\"").and_then(|(_, rest)| rest.split_once("</svg>"));
            chart.unwrap_or_else(|| panic!("no chart in {dom}")).0.to_owned()
        });
        fs::remove_dir_all(&dir).unwrap();
        charts
    }

    #[test]
    fn labels_of_faults_that_are_close_together_do_not_cover_each_other() {
        let Some(browser) = browser() else {
            println!("SKIPPED: no chromium, chromium-browser or google-chrome in PATH");
            return;
        };
        let mut sample = Sample::new();
        sample.crowd_of_faults(40);
        let [chart] = drawn(browser, &html(&sample.shown()), [""]);
        let labels: Vec<(i64, f64)> = chart
            .split("<text class=\"row")
            .skip(1)
            .map(|label| {
                let number = |name: &str| {
                    let (_, rest) = label.split_once(&format!(" {name}=\"")).unwrap();
                    rest.split('"').next().unwrap().parse::<f64>().unwrap()
                };
                assert!(number("y") > 0.0, "{label}");
                (number("y") as i64, number("x"))
            })
            .collect();
        // Those of the sample are on other nodes and at other times, but for one.
        assert!(labels.len() >= 6, "{labels:?}");
        assert_eq!(chart.matches("class=\"faultmark").count(), 45, "every fault has its mark");
        for (index, one) in labels.iter().enumerate() {
            for other in &labels[..index] {
                // No label is narrower than 40 pixels, and none as wide as the window's margin.
                let apart = one.0.abs_diff(other.0) >= 11 || (one.1 - other.1).abs() > 40.0;
                assert!(apart, "{one:?} and {other:?} in {labels:?}");
            }
        }
    }

    #[test]
    fn a_browser_draws_lanes_and_arrows_and_filters_them() {
        let Some(browser) = browser() else {
            println!("SKIPPED: no chromium, chromium-browser or google-chrome in PATH");
            return;
        };
        let sample = Sample::new();
        let fragments = ["", "call=a", "call=2", "pair=0-2", "from=0&to=9000000"];
        let charts = drawn(browser, &html(&sample.shown()), fragments);
        // What is counted: lanes, arrows, those that never arrived, those that led to the failure,
        // and bars.
        let of = |chart: &String| {
            let count = |part: &str| chart.matches(part).count();
            let [lanes, arrows] = ["class=\"lane\"", "class=\"arrow"].map(count);
            let lost =
                chart.split("class=\"").filter(|rest| rest.starts_with("arrow lost")).count();
            let bars = count("class=\"bar");
            (lanes, arrows, lost, count("cause\" x1"), bars)
        };
        let [all, by_call, by_mux, by_pair, by_time] = charts.each_ref().map(of);
        assert_eq!(all, (3, 10, 1, 6, 5));
        assert_eq!(by_call, (3, 2, 0, 0, 2));
        assert_eq!(by_mux, (3, 6, 1, 6, 2));
        assert_eq!(by_pair, (3, 0, 0, 0, 1));
        assert_eq!(by_time, (3, 2, 0, 0, 0));
    }
}
