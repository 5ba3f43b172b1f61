//! An HTTP proxy through which every host of the world is the fake Port server.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, copy_bidirectional},
    net::TcpStream,
};

/// The hosts and ports that tunnels were asked for, in order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tunnelled(Arc<Mutex<Vec<String>>>);

impl Tunnelled {
    pub(crate) fn authorities(&self) -> Vec<String> {
        self.0.lock().expect("no holder of the lock panics").clone()
    }

    fn record(&self, authority: &str) {
        let mut authorities = self.0.lock().expect("no holder of the lock panics");
        authorities.push(authority.to_owned());
    }
}

/// A proxy that is yet to be served, on a free port of the loopback interface.
pub(crate) struct Proxy {
    listener: TcpListener,
    destination: SocketAddr,
    tunnelled: Tunnelled,
}

impl Proxy {
    /// A proxy whose tunnels all end at this address.
    pub(crate) fn to(destination: SocketAddr, tunnelled: Tunnelled) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        Ok(Self {
            listener,
            destination,
            tunnelled,
        })
    }

    pub(crate) fn url(&self) -> io::Result<String> {
        Ok(format!("http://{}", self.listener.local_addr()?))
    }

    /// Serves the proxy until the future is dropped, or the listener breaks.
    pub(crate) async fn serve(self) {
        let listener = tokio::net::TcpListener::from_std(self.listener)
            .expect("the listener was made non-blocking, in a runtime with I/O");
        while let Ok((client, _)) = listener.accept().await {
            let tunnelled = self.tunnelled.clone();
            // A tunnel that breaks is for its two ends to notice.
            tokio::spawn(async move { tunnel(client, self.destination, &tunnelled).await.ok() });
        }
    }
}

/// Serves one `CONNECT` (RFC 9110, section 9.3.6).
async fn tunnel(
    client: TcpStream,
    destination: SocketAddr,
    tunnelled: &Tunnelled,
) -> io::Result<()> {
    let mut client = BufReader::new(client);
    let mut request = String::new();
    while !request.ends_with("\r\n\r\n") {
        if client.read_line(&mut request).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    let mut words = request.split(' ');
    let (Some("CONNECT"), Some(authority)) = (words.next(), words.next()) else {
        let refusal = b"HTTP/1.1 405 Method Not Allowed\r\nallow: CONNECT\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        return client.write_all(refusal).await;
    };
    tunnelled.record(authority);
    let mut port = TcpStream::connect(destination).await?;
    client.get_ref().set_nodelay(true)?;
    port.set_nodelay(true)?;
    client
        .write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
        .await?;
    copy_bidirectional(&mut client, &mut port).await?;
    Ok(())
}
