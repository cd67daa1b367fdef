//! What profiles tell the firewall and SELinux, as they write it: `6443/tcp`, `protocol/vrrp`, `http_port_t:6443`.

use serde::Serialize;

/// Something the firewall lets in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Opening {
    /// A port or range of ports of a transport: `6443`, `30000-32767`; `tcp` or `udp`.
    Port {
        /// Port or range as firewalld writes it.
        port: String,
        /// `tcp` or `udp`.
        protocol: String,
    },
    /// A whole IP protocol by its name in `/etc/protocols`.
    Protocol {
        /// Name: `vrrp`.
        name: String,
    },
}

impl Opening {
    /// Reads `6443/tcp`, `30000-32767/udp` or `protocol/vrrp`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let fault = || {
            format!("firewall `{}`: write 6443/tcp, 30000-32767/udp or protocol/vrrp", text.escape_debug())
        };
        let (left, right) = text.split_once('/').ok_or_else(fault)?;
        if left == "protocol" && !right.is_empty() && right.bytes().all(|b| b.is_ascii_lowercase()) {
            return Ok(Self::Protocol { name: right.to_owned() });
        }
        let port = |text: &str| text.parse::<u16>().ok().filter(|port| port.to_string() == text && *port > 0);
        let (first, last) = left.split_once('-').unwrap_or((left, left));
        match (port(first), port(last)) {
            (Some(first), Some(last)) if first <= last && matches!(right, "tcp" | "udp") => {
                Ok(Self::Port { port: left.to_owned(), protocol: right.to_owned() })
            }
            _ => Err(fault()),
        }
    }
}

/// A label that SELinux is to know a TCP port by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PortLabel {
    /// Type of the policy: `http_port_t`.
    pub label: String,
    /// The port.
    pub port: u16,
}

impl PortLabel {
    /// Reads `http_port_t:6443`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let word = |label: &str| {
            label.ends_with("_port_t")
                && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
        };
        text.split_once(':')
            .filter(|(label, _)| word(label))
            .and_then(|(label, port)| Some(Self { label: label.to_owned(), port: port.parse().ok()? }))
            .filter(|it| it.port > 0)
            .ok_or_else(|| format!("SELinux port `{}`: write http_port_t:6443", text.escape_debug()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openings_are_ports_or_protocols() {
        assert!(Opening::parse("30000-32767/udp").is_ok() && Opening::parse("protocol/vrrp").is_ok());
        for bad in ["", "80", "80/icmp", "0/tcp", "9-8/tcp", "70000/tcp", "protocol/a b", "+80/tcp"] {
            assert!(Opening::parse(bad).is_err(), "{bad}");
        }
    }
}
