# What a page may assume beside a controller: node n1, which hosts `orders` at port 8080 and calls it at port 5001.
sinew demo-service http --name first --listen 127.0.0.1:8080 > first.log &
first=$!
sinew token create --node n1 --service orders,web > /etc/sinew/node.token
cat > /etc/sinew/node.toml <<'END'
[node]
state = "/var/lib/sinew/node"
data = "127.0.0.1:7410"
admin = "127.0.0.1:7403"
access_log = "/var/lib/sinew/access.log"
connect_timeout = "1s"

[[serve]]
service = "orders"
address = "127.0.0.1:8080"

[[listen]]
service = "orders"
as = "web"
address = "127.0.0.1:5001"
END
sinew node --config /etc/sinew/node.toml --token-file /etc/sinew/node.token 2> node.log &
node=$!
curl -sf --retry 30 --retry-delay 1 --retry-connrefused http://127.0.0.1:7403/readyz
