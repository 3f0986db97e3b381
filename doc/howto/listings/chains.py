from ugate.endpoints.chain import parseChain

chain = parseChain(r"connect:b:3128:via=socks\:me@a\:1080:to=db\:5432")
print(chain)
# socks:a:1080:user=me -> connect:b:3128 -> tcp:db:5432
print("\n".join(chain.explain()))
# hop 1: the proxy a:1080, spoken to in SOCKS5, as me
# hop 2: the proxy b:3128, spoken to in HTTP CONNECT
# target: db:5432
