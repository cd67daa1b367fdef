//! Carries changes out with `ip` (iproute2) and `iptables`. Touches only routes that bear kiln's own protocol number and one rule
//! that bears its name.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::process::Command;
use std::time::Duration;

use ipnet::Ipv4Net;

use super::memory::Step;
use crate::error::{Error, Result};
use crate::node::child;

/// Number of the "protocol" that made a route (rtnetlink(7) `rtm_protocol`), free in iproute2's list: what bears it is kiln's.
pub const PROTOCOL: &str = "137";
/// Routes of kiln yield to others: a route that somebody made by hand has a metric of 0.
const METRIC: &str = "137";
/// Comment of the rule.
const COMMENT: &str = "kiln-routes";
/// Longest that a program may take.
const LIMIT: Duration = Duration::from_secs(20);

/// kiln's own routes.
pub fn routes() -> Result<BTreeMap<Ipv4Net, Ipv4Addr>> {
    Ok(parse(&ip(&["-4", "route", "show", "proto", PROTOCOL])?))
}

/// What `ip route show` tells. Routes of another form are none that kiln made.
fn parse(text: &str) -> BTreeMap<Ipv4Net, Ipv4Addr> {
    let route = |line: &str| {
        let mut words = line.split_whitespace();
        let net: Ipv4Net = words.next()?.parse().ok()?;
        let hop = words.skip_while(|word| *word != "via").nth(1)?.parse().ok()?;
        Some((net, hop))
    };
    text.lines().filter_map(route).collect()
}

/// Carries one change out.
pub fn apply(step: &Step) -> Result<()> {
    let (verb, net, hop) = match step {
        Step::Set(net, hop) => ("replace", net, hop),
        Step::Remove(net, hop) => ("del", net, hop),
    };
    let (net, hop) = (net.to_string(), hop.to_string());
    ip(&["-4", "route", verb, &net, "via", &hop, "proto", PROTOCOL, "metric", METRIC]).map(|_| ())
}

/// Sees to it that what pods send to others than pods leaves with the node's address. Returns whether the rule had to be made.
/// Between pods nothing is masqueraded; what goes to a service has the address of a pod by then.
pub fn masquerade(pods: Ipv4Net) -> Result<bool> {
    let pods = pods.to_string();
    let rule = |verb| {
        let mut command = Command::new("iptables");
        command.args(["-w", "-t", "nat", verb, "POSTROUTING", "-s", &pods, "!", "-d", &pods]);
        command.args(["-m", "comment", "--comment", COMMENT, "-j", "MASQUERADE"]);
        child::run(command, b"", LIMIT)
    };
    if rule("-C")?.success {
        return Ok(false);
    }
    let ended = rule("-A")?;
    match ended.success {
        true => Ok(true),
        false => Err(failed("iptables", &ended.messages)),
    }
}

fn ip(words: &[&str]) -> Result<String> {
    let mut command = Command::new("ip");
    command.args(words);
    let ended = child::run(command, b"", LIMIT)?;
    match ended.success {
        true => Ok(ended.output),
        false => Err(failed(&format!("ip {}", words.join(" ")), &ended.messages)),
    }
}

fn failed(what: &str, messages: &str) -> Error {
    let words: Vec<&str> = messages.split_whitespace().collect();
    let words: String = words.join(" ").chars().take(300).collect();
    Error::tool(format!("{what} failed: {words}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_are_read_as_ip_writes_them() {
        let text = "10.244.1.0/24 via 192.168.31.72 dev eth0 metric 137 \n\
                    10.244.2.0/24 via 192.168.31.73 dev eth0 metric 137 linkdown \n\
                    10.244.9.9 via 192.168.31.99 dev eth0\nunreachable 10.244.3.0/24\n10.244.4.0/24 dev eth1\n\n";
        let routes: Vec<String> = parse(text).iter().map(|(net, hop)| format!("{net} {hop}")).collect();
        assert_eq!(routes, ["10.244.1.0/24 192.168.31.72", "10.244.2.0/24 192.168.31.73"]);
    }
}
