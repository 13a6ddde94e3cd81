"""Prints live quotes from the stock ticker until Ctrl-C: ticker.py SYMBOL... [--server HOST:PORT]"""
import argparse, pathlib, sys
try:
    import grpc, grpc_tools
except ImportError as error:
    sys.exit(f"{error}; run: pip install -r examples/python/requirements.txt")
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "proto"))
messages, services = grpc.protos_and_services("fin.proto")

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("symbols", nargs="+", metavar="SYMBOL")
parser.add_argument("--server", default="127.0.0.1:50051")
args = parser.parse_args()

# The end of the requests means "no more symbols"; the quotes go on.
requests = (messages.TickerRequest(ticker_symbol=symbol) for symbol in args.symbols)
try:
    with grpc.insecure_channel(args.server) as channel:
        for quote in services.StockTickerStub(channel).SubscribeToStockUpdates(requests):
            print(f"{quote.ticker_symbol:<12} {quote.current_price:>10.2f} {quote.change_percent:>+7.2f} %", flush=True)
except grpc.RpcError as error:
    sys.exit(error.details())
except KeyboardInterrupt:
    pass
