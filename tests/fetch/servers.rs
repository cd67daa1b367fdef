//! Real servers on loopback: nginx as a mirror of release files, Debian's docker-registry as the registry, both with TLS by an
//! authority of the test's own, the registry with a login.

#![allow(dead_code, reason = "the test of speed needs the registry only")]

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::bases::run;

/// Name and password of the registry.
pub const LOGIN: &str = "user:pass";

/// Both servers; they end with it.
pub struct Servers {
    children: Vec<Child>,
    /// What nginx gives out.
    pub files: PathBuf,
    /// Its address.
    pub mirror: String,
    /// Host and port of the registry.
    pub registry: String,
    /// Certificate of the authority.
    pub ca: PathBuf,
}

impl Servers {
    /// Starts them with files below `dir`.
    pub fn start(dir: &Path) -> Self {
        let ca = certificates(dir);
        let files = dir.join("files");
        std::fs::create_dir_all(&files).unwrap();
        let (web, registry) = (free_port(), free_port());
        let children = vec![nginx(dir, web), docker_registry(dir, registry)];
        let servers = Self {
            children,
            files,
            mirror: format!("https://127.0.0.1:{web}/m"),
            registry: format!("127.0.0.1:{registry}"),
            ca,
        };
        [web, registry].into_iter().for_each(wait_for);
        servers
    }

    /// Puts an image into the registry; the program that does it is not ours.
    pub fn push(&self, archive: &Path, name: &str) {
        let (from, to) =
            (format!("docker-archive:{}", archive.display()), format!("docker://{}/{name}", self.registry));
        let args = ["copy", "--quiet", "--insecure-policy", "--dest-tls-verify=false", "--dest-creds", LOGIN];
        run(Command::new("skopeo").args(args).arg(from).arg(to));
    }

    /// Gives nginx a certificate that is valid in these years only, by the same authority.
    pub fn valid_in(&mut self, dir: &Path, years: std::ops::Range<i32>) {
        let read = |name: &str| std::fs::read_to_string(dir.join(name)).unwrap();
        let issuer = rcgen::Issuer::from_ca_cert_pem(
            &read("ca.pem"),
            rcgen::KeyPair::from_pem(&read("ca.key")).unwrap(),
        );
        let mut params = rcgen::CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(years.start, 1, 1);
        params.not_after = rcgen::date_time_ymd(years.end, 1, 1);
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &issuer.unwrap()).unwrap();
        std::fs::write(dir.join("server.pem"), certificate.pem()).unwrap();
        std::fs::write(dir.join("server.key"), key.serialize_pem()).unwrap();
        let nginx = self.children[0].id().to_string();
        run(Command::new("kill").args(["-HUP", &nginx]));
        std::thread::sleep(Duration::from_secs(1));
    }

    /// Ends them before the test does.
    pub fn stop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        self.stop();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn wait_for(port: u16) {
    let until = Instant::now() + Duration::from_secs(30);
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(Instant::now() < until, "nobody answers on port {port}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// An authority, and a certificate of it for 127.0.0.1.
fn certificates(dir: &Path) -> PathBuf {
    let ssl = |args: &str| run(Command::new("openssl").args(args.split(' ')).current_dir(dir));
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    ssl(&format!("req -x509 {key} -keyout ca.key -out ca.pem -days 2 -subj /CN=test-ca"));
    ssl(&format!(
        "req -x509 {key} -keyout server.key -out server.pem -days 2 -subj /CN=server -CA ca.pem -CAkey ca.key \
         -addext subjectAltName=IP:127.0.0.1 -addext basicConstraints=critical,CA:FALSE"
    ));
    dir.join("ca.pem")
}

fn nginx(dir: &Path, port: u16) -> Child {
    let at = dir.display();
    let config = format!(
        "pid {at}/nginx.pid; error_log {at}/nginx.log; daemon off; events {{}}\n\
         http {{ access_log {at}/access.log; client_body_temp_path {at}/t1; proxy_temp_path {at}/t2; fastcgi_temp_path {at}/t3;\n\
         uwsgi_temp_path {at}/t4; scgi_temp_path {at}/t5;\n\
         server {{ listen 127.0.0.1:{port} ssl; ssl_certificate {at}/server.pem; ssl_certificate_key {at}/server.key;\n\
         location /m/ {{ alias {at}/files/; }} }} }}\n"
    );
    std::fs::write(dir.join("nginx.conf"), config).unwrap();
    let mut nginx = Command::new("/usr/sbin/nginx");
    nginx.arg("-c").arg(dir.join("nginx.conf")).arg("-e").arg(dir.join("nginx.log"));
    start(&mut nginx)
}

fn docker_registry(dir: &Path, port: u16) -> Child {
    let at = dir.display();
    let (user, password) = LOGIN.split_once(':').unwrap();
    let crypt = format!("print crypt('{password}', '$2b$05$abcdefghijklmnopqrstuu')");
    let hash = run(Command::new("perl").arg("-e").arg(crypt));
    assert!(hash.starts_with("$2b$"), "{hash}");
    std::fs::write(dir.join("htpasswd"), format!("{user}:{hash}\n")).unwrap();
    let config = format!(
        "version: 0.1\nlog: {{ level: error }}\nstorage: {{ filesystem: {{ rootdirectory: {at}/registry }} }}\n\
         auth: {{ htpasswd: {{ realm: test, path: {at}/htpasswd }} }}\n\
         http: {{ addr: '127.0.0.1:{port}', tls: {{ certificate: {at}/server.pem, key: {at}/server.key }} }}\n"
    );
    std::fs::write(dir.join("registry.yml"), config).unwrap();
    start(Command::new("docker-registry").arg("serve").arg(dir.join("registry.yml")))
}

fn start(command: &mut Command) -> Child {
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    quiet.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}; `make setup` installs it"))
}
