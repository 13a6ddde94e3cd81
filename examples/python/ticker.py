"""Prints live quotes from the stock ticker: ticker.py SYMBOL... [--count N] [--server HOST:PORT]"""
import argparse, collections, pathlib, queue, sys
try:
    import grpc, grpc_tools
except ImportError as error:
    sys.exit(f"{error}; run: pip install -r examples/python/requirements.txt")
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "proto"))
messages, services = grpc.protos_and_services("fin.proto")

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("symbols", nargs="+", metavar="SYMBOL")
parser.add_argument("--count", type=int, help="unsubscribe from a symbol after N quotes [default: go on until Ctrl-C]")
parser.add_argument("--server", default="127.0.0.1:50051")
args = parser.parse_args()

requests, seen, answered = queue.SimpleQueue(), collections.Counter(), False
wanted = {symbol.upper() for symbol in args.symbols}

def ask(action, symbol):
    requests.put(messages.TickerRequest(action=action, ticker_symbol=symbol))

for symbol in args.symbols:
    ask("TICKER_ACTION_SUBSCRIBE", symbol)
try:
    with grpc.insecure_channel(args.server) as channel:
        for quote in services.StockTickerStub(channel).SubscribeToStockUpdates(iter(requests.get, None)):
            if quote.HasField("subscriptions"):  # no quote, but the answer to our requests
                answered = True
                for refusal in quote.subscriptions.refusals:  # the other symbols go on
                    print(refusal.reason, file=sys.stderr, flush=True)
                    wanted.discard(refusal.ticker_symbol.upper())
                if quote.subscriptions.notice:
                    print(quote.subscriptions.notice, file=sys.stderr, flush=True)
                if not wanted and not quote.subscriptions.ticker_symbols:
                    sys.exit(0 if seen else 1)
                continue
            places = 5 if quote.ticker_symbol.endswith("=X") else 2
            print(f"{quote.ticker_symbol:<12} {quote.current_price:>10.{places}f} {quote.change_percent:>+7.2f} %"
                  f"  bid {quote.bid_price:.{places}f}  ask {quote.ask_price:.{places}f}  trade {quote.sequence}",
                  flush=True)
            seen[quote.ticker_symbol] += 1
            # An old server that does not answer would take this for one more subscription.
            if seen[quote.ticker_symbol] == args.count and answered:
                ask("TICKER_ACTION_UNSUBSCRIBE", quote.ticker_symbol)
                wanted.discard(quote.ticker_symbol)
except grpc.RpcError as error:
    sys.exit(error.details())
except KeyboardInterrupt:
    pass
