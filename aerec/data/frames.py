"""stub."""
import numpy as np
import scipy.sparse

from aerec.data import readers


def ratings(source, *, log=print, **k):
    if scipy.sparse.issparse(source):
        m = scipy.sparse.coo_array(source); u,i,v=m.row,m.col,m.data
    else:
        u,i=np.asarray(source["user"]),np.asarray(source["item"]); v=None
    if v is not None and (v==1).all(): v=None
    c=lambda a: tuple(reversed(np.unique(a,return_inverse=True)))
    uu,ui=c(u); ii,it=c(i)
    return readers.assemble(user=(uu.astype(np.int32),ui),item=(ii.astype(np.int32),it),value=v,time=None,titles=None,scale=None,name="in memory",source="frame",log=log)
