//! A run as a trace that Perfetto and Chrome's viewer open.

use serde_json::{Value, json};

use super::Shown;
use super::text::show_brief;
use super::view::{Frame, View};

/// A JSON trace in Chrome's event format, which ui.perfetto.dev opens: a process for each node, a
/// track for each of its connections, slices for calls and handlers, flows for frames, and marks
/// for faults, phases and failures. Events are in the order of their times. The script is among
/// what viewers show as the trace's other data.
pub fn perfetto(shown: &Shown<'_>) -> String {
    let view = View::new(shown);
    let mut events: Vec<(u64, Value)> = Vec::new();
    for (number, frame) in view.frames.iter().enumerate() {
        add_frame(&mut events, number, frame);
    }
    for issued in &view.calls {
        let (id, name) = (format!("call {}", issued.id), &issued.call.name);
        let name = format!("{name} {} to n{}", issued.call.route.word(), issued.call.to);
        let over = issued.over.clone().unwrap_or((view.end, "open".into()));
        add_span(&mut events, issued.call.from, &id, &name, issued.since, &over);
    }
    let names: Vec<&str> = shown.played.calls().map(|call| call.name.as_str()).collect();
    for (number, served) in view.handlers.iter().enumerate() {
        let (id, name) =
            (format!("handler {number}"), format!("handler of {}", names[served.call]));
        let over = served.over.clone().unwrap_or((view.end, "running".into()));
        add_span(&mut events, served.node, &id, &name, served.since, &over);
    }
    for (number, conn) in view.conns.iter().enumerate() {
        for node in conn.nodes {
            let (id, name) = (format!("connection {number} at {node}"), format!("c{}", conn.id.0));
            let over = (view.conn_over(conn), "over".into());
            add_span(&mut events, node, &id, &name, conn.since, &over);
        }
    }
    for fault in &view.faults {
        let (name, args) = (format!("{} {}", fault.row, fault.kind), json!({ "line": fault.text }));
        for node in fault.nodes {
            events.push((fault.at, mark(fault.at, *node, "p", &name, args.clone())));
        }
    }
    for (at, phase) in &view.phases {
        events.push((*at, mark(*at, 0, "g", &format!("phase: {phase}"), json!({}))));
    }
    for failure in &shown.outcome.failures {
        let (name, at) = (format!("{} {}", failure.oracle, failure.rule), failure.at);
        events.push((at, mark(at, 0, "g", &name, json!({ "detail": failure.detail }))));
    }
    events.sort_by_key(|(at, _)| *at);
    let events: Vec<_> =
        names_of(shown, &view).chain(events.into_iter().map(|(_, event)| event)).collect();
    let other =
        json!({ "seed": shown.script.seed.to_string(), "script": shown.script.to_string() });
    json!({ "displayTimeUnit": "ns", "traceEvents": events, "otherData": other }).to_string()
}

/// The track of a connection within a process; 0 is the process itself.
fn track(frame: &Frame<'_>) -> u32 {
    frame.conn.0.saturating_add(1)
}

fn micros(nanos: u64) -> f64 {
    nanos as f64 / 1_000.0
}

/// A slice of a nanosecond at either end, and the flow between them if it has arrived.
fn add_frame(events: &mut Vec<(u64, Value)>, number: usize, frame: &Frame<'_>) {
    let briefs: Vec<_> = frame.messages.iter().map(show_brief).collect();
    let ops: Vec<_> = frame.messages.iter().map(|message| message.op).collect();
    let mut name = ops.join(" + ");
    if frame.arrived.is_none() {
        name += " (lost)";
    }
    let args = json!({ "messages": briefs, "bytes": frame.bytes, "number": frame.number });
    let ends = [(Some(frame.sent), frame.from, "s"), (frame.arrived, frame.to, "f")];
    for (at, node, phase) in ends {
        let Some(at) = at else { continue };
        let base = json!({
            "name": name, "cat": "frame", "ts": micros(at), "pid": node, "tid": track(frame),
        });
        let with = |more: Value| {
            let mut event = base.clone();
            if let (Value::Object(event), Value::Object(more)) = (&mut event, more) {
                event.extend(more);
            }
            event
        };
        events.push((at, with(json!({ "ph": "X", "dur": 0.001, "args": args }))));
        if frame.arrived.is_some() {
            events.push((at, with(json!({ "ph": phase, "id": number, "bp": "e" }))));
        }
    }
}

/// Something that begins and ends at a node, and may overlap others.
fn add_span(
    events: &mut Vec<(u64, Value)>,
    node: usize,
    id: &str,
    name: &str,
    since: u64,
    over: &(u64, String),
) {
    for (at, phase, how) in [(since, "b", "begun"), (over.0, "e", over.1.as_str())] {
        let event = json!({
            "ph": phase, "cat": id.split(' ').next(), "id": id, "name": name, "ts": micros(at),
            "pid": node, "tid": 0, "args": { "how": how },
        });
        events.push((at, event));
    }
}

fn mark(at: u64, node: usize, scope: &str, name: &str, args: Value) -> Value {
    json!({
        "ph": "i", "s": scope, "name": name, "ts": micros(at), "pid": node, "tid": 0, "args": args,
    })
}

/// The names of processes and tracks.
fn names_of<'a>(shown: &'a Shown<'_>, view: &'a View<'_>) -> impl Iterator<Item = Value> + 'a {
    let nodes = shown.trace.nodes.iter().enumerate().map(|(node, name)| {
        json!({
            "ph": "M", "name": "process_name", "pid": node, "tid": 0, "ts": 0,
            "args": { "name": format!("n{node} {name}") },
        })
    });
    let tracks = view.conns.iter().flat_map(|conn| {
        [0, 1].map(|end| {
            json!({
                "ph": "M", "name": "thread_name", "pid": conn.nodes[end],
                "tid": conn.id.0.saturating_add(1), "ts": 0,
                "args": { "name": format!("c{} with n{}", conn.id.0, conn.nodes[1 - end]) },
            })
        })
    });
    nodes.chain(tracks)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::Value;

    use super::perfetto;
    use crate::show::sample::{Late, Sample};

    fn events(json: &str) -> Vec<Value> {
        let json: Value = serde_json::from_str(json).unwrap();
        json["traceEvents"].as_array().unwrap().clone()
    }

    #[test]
    fn times_are_sorted_and_every_flow_ends_after_it_begins_inside_a_slice() {
        let sample = Sample::new();
        let events = events(&perfetto(&sample.shown()));
        let times: Vec<f64> = events.iter().map(|event| event["ts"].as_f64().unwrap()).collect();
        assert!(times.is_sorted());
        let mut flows = BTreeMap::new();
        for flow in events.iter().filter(|event| event["ph"] == "s" || event["ph"] == "f") {
            let in_slice = |slice: &&Value| {
                slice["ph"] == "X"
                    && ["ts", "pid", "tid"].iter().all(|key| slice[*key] == flow[*key])
            };
            assert!(events.iter().find(in_slice).is_some(), "{flow}");
            flows.entry(flow["id"].as_u64().unwrap()).or_insert_with(Vec::new).push(flow);
        }
        let arrived = sample.frames_arrived();
        assert_eq!(flows.len(), arrived);
        for flow in flows.values() {
            let phases: Vec<_> = flow.iter().map(|event| event["ph"].as_str().unwrap()).collect();
            assert_eq!(phases, ["s", "f"]);
            assert_ne!(flow[0]["pid"], flow[1]["pid"]);
        }
    }

    #[test]
    fn calls_handlers_and_connections_begin_and_end_at_their_nodes() {
        let sample = Sample::new();
        let mut open = BTreeMap::new();
        let mut begun = 0;
        for event in events(&perfetto(&sample.shown())) {
            let key = (event["id"].to_string(), event["pid"].as_u64().unwrap());
            match event["ph"].as_str().unwrap() {
                "b" => {
                    begun += 1;
                    assert_eq!(open.insert(key, event), None);
                }
                "e" => assert!(open.remove(&key).is_some(), "{event}"),
                _ => {}
            }
        }
        assert!(open.is_empty());
        let (calls, handlers, conns) = (3, 2, 2);
        assert_eq!(begun, calls + handlers + 2 * conns);
    }

    #[test]
    fn a_handler_is_a_slice_of_its_own_node_and_a_call_ends_with_the_callers_result() {
        let late = Late::new();
        let events = events(&perfetto(&late.shown()));
        let ends = |name: &str| {
            let end = |event: &&Value| event["ph"] == "e" && event["name"] == name;
            let [end] = events.iter().filter(end).collect::<Vec<_>>()[..] else {
                panic!("one end of {name}")
            };
            (end["pid"].as_u64().unwrap(), end["args"]["how"].as_str().unwrap().to_owned())
        };
        assert_eq!(ends("late run-to-end to n1"), (0, "deadline exceeded".to_owned()));
        assert_eq!(ends("handler of late"), (1, "ok".to_owned()));
    }

    #[test]
    fn processes_have_the_names_of_their_nodes_and_the_script_is_in_it() {
        let late = Late::new();
        let shown = late.shown();
        let json: Value = serde_json::from_str(&perfetto(&shown)).unwrap();
        let all = json["traceEvents"].as_array().unwrap();
        let names = all.iter().filter(|event| event["name"] == "process_name");
        let names: Vec<_> = names.map(|event| event["args"]["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["n0 http://n0:9000", "n1 http://n1:9000"]);
        assert_eq!(json["otherData"]["script"], shown.script.to_string());
    }
}
