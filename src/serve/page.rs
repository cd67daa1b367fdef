//! What the server tells of the rack: a page for people, JSON, and Prometheus' text format (0.0.4). Pure: rows in, text out.
//!
//! The page needs no script, no style sheet and no picture from elsewhere; it asks for itself anew every few seconds.

use std::fmt::Write as _;

use serde::Serialize;

use super::rack::{Row, Stage};
use crate::error::{Error, Result};
use crate::report::human_size;

/// Seconds after which the page is asked for anew.
const REFRESH: u32 = 3;
/// A machine that installs and says nothing for so long is shown as a fault.
const QUIET: u64 = 1800;

/// Numbers of the server itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Numbers {
    /// Bytes that were sent.
    pub bytes: u64,
    /// Requests by HTTP.
    pub http: u64,
    /// Transfers by TFTP.
    pub tftp: u64,
    /// Packets of DHCP.
    pub dhcp: u64,
    /// Requests that were refused.
    pub refused: u64,
}

/// What is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Board {
    /// The cluster.
    pub cluster: String,
    /// The role that is installed.
    pub profile: String,
    /// Label of the tree.
    pub label: String,
    /// The machines.
    pub machines: Vec<Row>,
    /// The server's numbers.
    pub numbers: Numbers,
}

/// Whether somebody should look at a machine.
fn fault(row: &Row) -> bool {
    let under_way = !matches!(row.stage, Stage::Waiting | Stage::Finished);
    row.stage == Stage::Stopped || (under_way && row.quiet.is_some_and(|quiet| quiet > QUIET))
}

/// The page.
pub fn html(board: &Board) -> String {
    let mut out = String::new();
    let done = board.machines.iter().filter(|row| row.stage == Stage::Finished).count();
    let (cluster, profile) = (escaped(&board.cluster), escaped(&board.profile));
    let _ = write!(
        out,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"refresh\" content=\"{REFRESH}\">\n<title>{done}/{} {cluster} {profile}</title>\n<style>{STYLE}</style>\n\
         </head>\n<body>\n<h1>{cluster} <small>{profile}, {}</small></h1>\n<p>{done} of {} installed</p>\n<ul>\n",
        board.machines.len(),
        escaped(&board.label),
        board.machines.len(),
    );
    for row in &board.machines {
        machine(&mut out, row);
    }
    let Numbers { bytes, http, tftp, dhcp, refused } = board.numbers;
    let _ = write!(
        out,
        "</ul>\n<p class=\"n\">{} sent, {http} HTTP requests, {tftp} TFTP transfers, {dhcp} DHCP packets, {refused} refused</p>\n\
         </body>\n</html>\n",
        human_size(bytes)
    );
    out
}

fn machine(out: &mut String, row: &Row) {
    let stage = row.stage.as_str();
    let class = if fault(row) { "fault" } else { stage };
    let name = row.name.as_deref().unwrap_or("unknown machine");
    let mac = row.mac.map(|mac| mac.to_string()).unwrap_or_default();
    let ip = row.ip.map(|ip| format!(" {ip}")).unwrap_or_default();
    let time = row.seconds.map(duration).unwrap_or_default();
    let at = Stage::ALL.iter().position(|known| *known == row.stage).unwrap_or(0).min(7);
    let _ = write!(
        out,
        "<li class=\"{class}\"><b>{}</b> <span class=\"s\">{stage} {time}</span><meter min=\"0\" max=\"7\" value=\"{at}\">{at} of 7</meter>\
         <span class=\"m\">{mac}{ip}</span>",
        escaped(name)
    );
    if !row.text.is_empty() {
        let _ = write!(
            out,
            "<details{}><summary>report</summary><pre>{}</pre></details>",
            if fault(row) { " open" } else { "" },
            escaped(&row.text)
        );
    }
    out.push_str("</li>\n");
}

/// Minutes and seconds.
fn duration(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
    }
}

const STYLE: &str = "body{font:16px/1.4 system-ui,sans-serif;margin:1rem;background:#fff;color:#111}\
ul{list-style:none;padding:0;display:grid;grid-template-columns:repeat(auto-fill,minmax(16rem,1fr));gap:.5rem}\
li{border:1px solid #999;border-left:.5rem solid #999;padding:.4rem .6rem;overflow-wrap:anywhere}\
.s{float:right}.m,.n,small{color:#555;font-size:.85rem;font-weight:normal}meter{width:100%;display:block}\
.finished{border-left-color:#1a7f37}.fault{border-left-color:#c00;background:#fee}\
.asked,.loader,.kernel,.installer,.prepared,.placed{border-left-color:#06c}pre{white-space:pre-wrap;font-size:.8rem;margin:.3rem 0}\
@media(prefers-color-scheme:dark){body{background:#111;color:#eee}.m,.n,small{color:#aaa}.fault{background:#411}}";

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// The same as JSON.
pub fn json(board: &Board) -> Result<String> {
    let text =
        serde_json::to_string(board).map_err(|error| Error::internal("writing the status").because(error))?;
    Ok(text + "\n")
}

/// The same for Prometheus.
pub fn metrics(board: &Board) -> String {
    let mut out = String::new();
    let mut number = |name: &str, kind: &str, help: &str, value: u64| {
        let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}");
    };
    let Numbers { bytes, http, tftp, dhcp, refused } = board.numbers;
    number("kiln_serve_sent_bytes_total", "counter", "Bytes sent.", bytes);
    number("kiln_serve_http_requests_total", "counter", "Requests by HTTP.", http);
    number("kiln_serve_tftp_transfers_total", "counter", "Transfers by TFTP.", tftp);
    number("kiln_serve_dhcp_packets_total", "counter", "Packets of DHCP.", dhcp);
    number("kiln_serve_refused_total", "counter", "Requests that were refused.", refused);
    let faults = board.machines.iter().filter(|row| fault(row)).count();
    number("kiln_serve_faults", "gauge", "Machines that somebody should look at.", faults as u64);
    out.push_str("# HELP kiln_serve_machines Machines by stage.\n# TYPE kiln_serve_machines gauge\n");
    for stage in Stage::ALL {
        let count = board.machines.iter().filter(|row| row.stage == stage).count();
        let _ = writeln!(out, "kiln_serve_machines{{stage=\"{}\"}} {count}", stage.as_str());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn board() -> Board {
        let row = |name: &str, stage, text: &str| Row {
            name: Some(name.to_owned()),
            mac: None,
            stage,
            seconds: Some(75),
            quiet: Some(2),
            ip: None,
            text: text.to_owned(),
            bytes: 3,
        };
        Board {
            cluster: "prod".into(),
            profile: "master".into(),
            label: "KILN-X".into(),
            machines: vec![
                row("a", Stage::Finished, ""),
                row("b", Stage::Stopped, "<script>alert(1)</script> & \"x\""),
            ],
            numbers: Numbers { bytes: 5, ..Numbers::default() },
        }
    }

    #[test]
    fn the_page_asks_nobody_else_for_anything_and_runs_nothing() {
        let page = html(&board());
        for bad in ["<script", "http://", "https://", "src=", "href=", "url("] {
            assert!(!page.contains(bad), "{bad}: {page}");
        }
        assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt; &amp; &quot;x&quot;"), "{page}");
        assert!(page.contains("1 of 2 installed") && page.contains("1 min 15 s"), "{page}");
        assert!(page.contains("class=\"fault\"") && page.contains("class=\"finished\""));
    }

    #[test]
    fn numbers_are_given_as_prometheus_reads_them() {
        let text = metrics(&board());
        assert!(
            text.contains("kiln_serve_machines{stage=\"stopped\"} 1\n")
                && text.contains("kiln_serve_faults 1\n"),
            "{text}"
        );
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let (name, value) = line.rsplit_once(' ').unwrap();
            assert!(name.starts_with("kiln_serve_") && value.parse::<u64>().is_ok(), "{line}");
        }
    }

    #[test]
    fn json_says_the_same() {
        let value: serde_json::Value = serde_json::from_str(&json(&board()).unwrap()).unwrap();
        assert_eq!(value["machines"][1]["stage"], "stopped");
        assert_eq!(value["numbers"]["bytes"], 5);
    }

    #[test]
    fn a_machine_that_says_nothing_is_a_fault() {
        let mut row = board().machines.remove(0);
        (row.stage, row.quiet) = (Stage::Placed, Some(QUIET + 1));
        assert!(fault(&row));
        row.stage = Stage::Finished;
        assert!(!fault(&row));
    }
}
